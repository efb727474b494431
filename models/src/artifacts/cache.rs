//! The cache of artifacts on this machine, shared by all processes that are given its folder.
//!
//! ```text
//! CACHE/artifacts/KEY/manifest.json   complete: source, and SHA-256 of every file; locked (shared) while in use
//! CACHE/artifacts/KEY/files/…
//! CACHE/partial/KEY/…, KEY.lock       downloads in progress; locked (exclusive) by whoever writes
//! CACHE/trash/…                       on its way out
//! CACHE/lock                          held while entries come and go
//! ```
//! An entry is renamed in when it is complete and never changed afterwards. Locks end with their process.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::locks;
use super::manifest::Manifest;
use super::staging::{self, FILES, LOCK, PLAN, Staging, is_still};
use crate::digest::Known;

const MANIFEST: &str = "manifest.json";
/// A download that nobody has gone on with for so long is given up.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The cache.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
}

/// Keeps an entry from being evicted.
#[derive(Debug)]
pub struct Lease {
    manifest: File,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // When it was last used decides when it goes; a read-only cache does without.
        let _ = self.manifest.set_modified(SystemTime::now());
    }
}

/// A complete entry whose files were just compared with its manifest.
#[derive(Debug)]
pub struct Found {
    /// The folder with its files.
    pub dir: PathBuf,
    /// The hash of each.
    pub known: Known,
    /// Keeps it.
    pub lease: Lease,
}

impl Cache {
    /// A cache in the folder `root`, of at most `max_bytes`. Nothing is read or written yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self { root: root.into(), max_bytes }
    }

    /// The cache's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry `key`, with every file verified; one that is damaged is removed and counts as not there. It blocks for
    /// as long as reading the files takes.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find(&self, key: &str) -> io::Result<Option<Found>> {
        let dir = self.entry(key);
        let Some(lease) = lease(&dir)? else { return Ok(None) };
        let manifest = fs::read(dir.join(MANIFEST))?;
        let files = dir.join(FILES);
        match Manifest::parse(&manifest).and_then(|manifest| manifest.verify(&files)) {
            Ok(known) => Ok(Some(Found { dir: files, known, lease })),
            Err(error) => {
                tracing::error!(path = %dir.display(), error, "a cached artifact is damaged: removed");
                self.remove(key)?;
                Ok(None)
            }
        }
    }

    /// What the entry `key` says of itself, unverified.
    #[must_use]
    pub fn manifest(&self, key: &str) -> Option<Manifest> {
        Manifest::parse(&fs::read(self.entry(key).join(MANIFEST)).ok()?).ok()
    }

    /// Begins, or goes on with, the download of `key`. `None` when another process is at it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn stage(&self, key: &str) -> io::Result<Option<Staging>> {
        Staging::open(&self.partial(), key)
    }

    /// Turns a complete download into an entry, in one step.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn admit(&self, staging: Staging, manifest: &Manifest) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?;
        let _turn = self.take_turn()?;
        // All in the download's own folder: a kill at any point leaves something to go on with.
        fs::write(staging.dir.join(MANIFEST), text)?;
        File::open(staging.dir.join(MANIFEST))?.sync_all()?;
        let entry = self.entry(&staging.key);
        fs::create_dir_all(self.root.join("artifacts"))?;
        if entry.exists() {
            self.bin(&entry)?;
        }
        fs::rename(&staging.dir, &entry)?;
        File::open(self.root.join("artifacts"))?.sync_all()?;
        fs::remove_file(entry.join(PLAN))?;
        fs::remove_file(&staging.lock.0)
    }

    /// Makes room for an entry of `bytes` in all, `key`, by removing those that are used by nobody, the one that was
    /// longest ago in use first.
    ///
    /// # Errors
    /// When it is more than the cache may hold, or too much of it is in use.
    pub fn make_room(&self, key: &str, bytes: u64) -> io::Result<()> {
        let limit = self.max_bytes;
        if bytes > limit {
            return Err(io::Error::other(format!(
                "the artifact has {bytes} bytes, but artifacts.maxSize is {limit} bytes"
            )));
        }
        let used = self.evict(key, |used| used + bytes > limit)?;
        if used + bytes > limit {
            return Err(io::Error::other(format!(
                "the artifact has {bytes} bytes, artifacts.maxSize is {limit} bytes, and {used} bytes are in use by \
                 versions that are loaded or being downloaded"
            )));
        }
        Ok(())
    }

    /// Removes everything that nobody uses, apart from `key`: the disk is full. False when there was nothing.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn free_disk(&self, key: &str) -> io::Result<bool> {
        let before = self.evict(key, |_| false)?;
        Ok(self.evict(key, |_| true)? < before)
    }

    /// Removes an entry, whoever uses it: their open files stay readable.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn remove(&self, key: &str) -> io::Result<()> {
        let _turn = self.take_turn()?;
        let entry = self.entry(key);
        if entry.exists() { self.bin(&entry) } else { Ok(()) }
    }

    /// Bytes of all entries and downloads.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn bytes(&self) -> io::Result<u64> {
        self.evict("", |_| false)
    }

    /// Removes unused entries while `too_much` says so; gives the bytes that are left, those of `key` not counted.
    fn evict(&self, key: &str, too_much: impl Fn(u64) -> bool) -> io::Result<u64> {
        let _turn = self.take_turn()?;
        self.sweep()?;
        let mut held = self.downloads(key)?;
        held.extend(self.entries(key)?);
        let mut used: u64 = held.iter().map(|held| held.bytes).sum();
        held.sort_by_key(|held| held.last_used);
        for held in held {
            if !too_much(used) {
                break;
            }
            if held.is_unused()? {
                tracing::info!(path = %held.path.display(), bytes = held.bytes, "evicted from the cache");
                self.bin(&held.path)?;
                used -= held.bytes;
            }
        }
        Ok(used)
    }

    fn entries(&self, but: &str) -> io::Result<Vec<Held>> {
        let mut held = Vec::new();
        for path in folders(&self.root.join("artifacts"))? {
            if is_named(&path, but) {
                continue;
            }
            let manifest = path.join(MANIFEST);
            let bytes = fs::read(&manifest).ok().and_then(|text| Manifest::parse(&text).ok()).map(|text| text.bytes());
            let last_used = modified(&manifest);
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => size(&path)?,
            };
            held.push(Held { path, lock: manifest, bytes, last_used });
        }
        Ok(held)
    }

    fn downloads(&self, but: &str) -> io::Result<Vec<Held>> {
        let mut held = Vec::new();
        for path in folders(&self.partial())? {
            if !is_named(&path, but) {
                let lock = PathBuf::from(format!("{}{LOCK}", path.display()));
                let last_used = modified(&path.join(FILES)).max(modified(&lock));
                // What is still to come counts, too: two downloads shall not both take the same room.
                let bytes = size(&path)?.max(staging::planned(&path));
                held.push(Held { path, lock, bytes, last_used });
            }
        }
        Ok(held)
    }

    /// Finishes what a killed process had begun to remove, and gives up downloads that nobody goes on with.
    fn sweep(&self) -> io::Result<()> {
        for path in folders(&self.root.join("trash"))? {
            fs::remove_dir_all(path)?;
        }
        for held in self.downloads("")? {
            let old = held.last_used.elapsed().is_ok_and(|age| age > ABANDONED);
            if old && held.is_unused()? {
                self.bin(&held.path)?;
                // It may not be there.
                let _ = fs::remove_file(&held.lock);
            }
        }
        Ok(())
    }

    /// Out of the way in one step, then gone.
    fn bin(&self, path: &Path) -> io::Result<()> {
        let trash = self.root.join("trash");
        fs::create_dir_all(&trash)?;
        let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let binned = trash.join(name);
        fs::rename(path, &binned)?;
        fs::remove_dir_all(binned)
    }

    /// One process at a time while entries come and go.
    fn take_turn(&self) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let file = File::options().create(true).truncate(false).write(true).open(self.root.join("lock"))?;
        locks::exclusive(&file)?;
        Ok(file)
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.root.join("artifacts").join(key)
    }

    fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }
}

/// The name of an entry: readable for people, and different for whatever is different.
#[must_use]
pub fn key(model: &str, version: u64, fingerprint: u64) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let model: String = model.chars().take(80).map(plain).collect();
    format!("{model}-{version}-{fingerprint:016x}")
}

/// Something in the cache that could go.
struct Held {
    path: PathBuf,
    /// What is locked while somebody uses it.
    lock: PathBuf,
    bytes: u64,
    last_used: SystemTime,
}

impl Held {
    fn is_unused(&self) -> io::Result<bool> {
        match File::open(&self.lock) {
            Ok(file) => locks::try_exclusive(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Locks the entry `dir` against eviction, if it is there.
fn lease(dir: &Path) -> io::Result<Option<Lease>> {
    let path = dir.join(MANIFEST);
    loop {
        // Writable, so that its time can be set; a cache that came with an image may be read-only.
        let opened = File::options().read(true).append(true).open(&path).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            _ => Err(error),
        });
        let manifest = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Whoever has it exclusively is about to remove it, and holds it for a moment only.
        locks::shared(&manifest)?;
        if is_still(&manifest, &path) {
            return Ok(Some(Lease { manifest }));
        }
    }
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|own| own == name)
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
            Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
