//! Which entries go when room is needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Cache, MANIFEST};
use crate::artifacts::locks;
use crate::artifacts::manifest::Manifest;
use crate::artifacts::staging::{self, FILES, LOCK};

/// A download that nobody has gone on with for so long is given up.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

impl Cache {
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

    /// Removes unused entries while `too_much` says so; gives the bytes that are left, those of `key` not counted.
    pub(super) fn evict(&self, key: &str, too_much: impl Fn(u64) -> bool) -> io::Result<u64> {
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

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|own| own == name)
}

pub(super) fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
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
