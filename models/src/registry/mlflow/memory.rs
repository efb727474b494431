//! The last listing on disk: what a process serves that starts while the registry is away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::digest;
use crate::registry::{Listing, Recalled};

/// A file for one registry and one choice of models.
pub(super) struct Memory {
    path: PathBuf,
    /// What the file says, once this process has written it.
    written: Mutex<Option<Listing>>,
}

impl Memory {
    /// The memory of what `identity` stands for, in a folder that is made when something is remembered.
    pub(super) fn new(folder: &Path, identity: &str) -> Self {
        let name = digest::hex(&Sha256::digest(identity.as_bytes())[..8]);
        Self { path: folder.join(format!("{name}.json")), written: Mutex::new(None) }
    }

    /// Writes the listing down, or only that it still holds.
    pub(super) fn remember(&self, listing: &Listing) -> io::Result<()> {
        let mut written = self.written.lock();
        if written.as_ref() == Some(listing)
            && File::options()
                .append(true)
                .open(&self.path)
                .and_then(|file| file.set_modified(SystemTime::now()))
                .is_ok()
        {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(listing).map_err(io::Error::other)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let fresh = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let result = File::create(&fresh).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)
        });
        if result.is_err() {
            // Best effort: what matters is the error.
            let _ = fs::remove_file(&fresh);
        }
        result?;
        *written = Some(listing.clone());
        Ok(())
    }

    /// What was written down last, by whichever process.
    pub(super) fn recall(&self) -> Option<Recalled> {
        let as_of = self.path.metadata().and_then(|metadata| metadata.modified()).ok()?;
        let text = fs::read(&self.path).ok()?;
        match serde_json::from_slice(&text) {
            Ok(listing) => Some(Recalled { listing, as_of }),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "ignored: not a listing that perch wrote");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ModelListing, VersionListing};

    #[test]
    fn another_process_finds_the_last_listing() {
        let dir = tempfile::tempdir().expect("a folder");
        let memory = Memory::new(&dir.path().join("registry"), "http://mlflow");
        assert_eq!(memory.recall(), None);
        let version = VersionListing { fingerprint: u64::MAX, settled: true, ..VersionListing::default() };
        let model = ModelListing {
            versions: [(7, version)].into(),
            aliases: Some([("stable".to_owned(), 7)].into()),
            error: None,
        };
        let listing = Listing::from([("m".to_owned(), model)]);
        for _ in 0..2 {
            memory.remember(&listing).expect("written");
            let again = Memory::new(&dir.path().join("registry"), "http://mlflow").recall().expect("remembered");
            assert_eq!(again.listing, listing);
        }
        assert_eq!(Memory::new(&dir.path().join("registry"), "http://other").recall(), None);
        fs::write(&memory.path, "{").expect("written");
        assert_eq!(memory.recall(), None, "a broken file is no listing");
        memory.remember(&Listing::new()).expect("written again");
        assert_eq!(memory.recall().map(|recalled| recalled.listing), Some(Listing::new()));
    }
}
