//! What a replica remembers of the fleet's rollouts beside the artifacts, for a start without the store.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use perch_router::rollout::State;
use sha2::{Digest, Sha256};

/// A file of states as they were last stored: what rests, what was taken out, and what a promotion holds. Only what is
/// loaded goes by it, never what gets requests.
#[derive(Debug)]
pub struct Keep {
    path: PathBuf,
    /// Writers wait for each other, and what is older than what was written is left out.
    written: Mutex<u64>,
    next: AtomicU64,
}

impl Keep {
    /// In the folder for artifacts, by the address of the store. None where there is no such folder.
    #[must_use]
    pub fn new(folder: &Path, store: &str) -> Option<Self> {
        let digest = Sha256::digest(store.as_bytes());
        let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        (!folder.as_os_str().is_empty()).then(|| Self {
            path: folder.join(format!("rollouts-{name}.json")),
            written: Mutex::new(0),
            next: AtomicU64::new(0),
        })
    }

    /// What was written last; nothing where there is no such file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<BTreeMap<String, State>> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// The number of what is to be written next.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) + 1
    }

    /// Writes it: whole, or not at all. Nothing, where something of a later number was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, number: u64, states: &BTreeMap<String, State>) -> io::Result<()> {
        let mut written = self.written.lock();
        if number <= *written {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Several replicas on one machine may share the folder.
        let draft = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let file = fs::File::create(&draft)?;
        serde_json::to_writer(&file, states).map_err(io::Error::other)?;
        file.sync_all()?;
        fs::rename(draft, &self.path)?;
        *written = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Keep::new(Path::new(""), "postgres://a/b").is_none());
        let keep = Keep::new(&folder.path().join("cache"), "postgres://a/b").unwrap();
        assert_eq!(keep.read().unwrap(), BTreeMap::new());
        let quarantine = [("sha256:4".to_owned(), 1_795_000_000.25)].into();
        let states = BTreeMap::from([("m".to_owned(), State { generation: 7, quarantine, ..State::default() })]);
        let (first, second) = (keep.number(), keep.number());
        keep.write(second, &states).unwrap();
        keep.write(first, &BTreeMap::new()).unwrap();
        assert_eq!(keep.read().unwrap(), states);
        let other = Keep::new(&folder.path().join("cache"), "postgres://a/c").unwrap();
        assert_eq!(other.read().unwrap(), BTreeMap::new(), "another fleet's");
        fs::write(&keep.path, "{").unwrap();
        assert!(keep.read().is_err());
    }
}
