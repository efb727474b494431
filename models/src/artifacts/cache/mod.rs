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

mod evict;
mod lease;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use self::lease::lease;
use super::locks;
use super::manifest::Manifest;
use super::staging::{FILES, PLAN, Staging};
use crate::digest::Known;

pub use lease::Lease;

const MANIFEST: &str = "manifest.json";
/// The cache.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
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
        staging.close()
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

#[cfg(test)]
mod tests;
