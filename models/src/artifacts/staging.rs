//! A download in progress: a folder that only its owner writes, kept over cuts and kills until it is complete.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::locks;
use super::remote::RemoteFile;
use crate::digest;

pub(super) const PLAN: &str = "plan.json";
pub(super) const FILES: &str = "files";
pub(super) const LOCK: &str = ".lock";

/// One file as it was when its download began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Planned {
    path: PathBuf,
    bytes: u64,
    etag: Option<String>,
}

/// A download in progress. While it lives, no other process touches the folder.
#[derive(Debug)]
pub struct Staging {
    pub(super) key: String,
    pub(super) dir: PathBuf,
    pub(super) lock: (PathBuf, File),
}

impl Staging {
    /// The download of `key` below `partial`, or `None` when somebody else is at it.
    pub(super) fn open(partial: &Path, key: &str) -> io::Result<Option<Self>> {
        fs::create_dir_all(partial)?;
        let path = partial.join(format!("{key}{LOCK}"));
        let Some(lock) = try_lock(&path)? else { return Ok(None) };
        let dir = partial.join(key);
        fs::create_dir_all(dir.join(FILES))?;
        Ok(Some(Self { key: key.to_owned(), dir, lock: (path, lock) }))
    }

    /// Where the files are put.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.dir.join(FILES)
    }

    /// Keeps of an earlier attempt what belongs to these files, and says how many bytes that is.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn resume(&self, remote: &[(PathBuf, RemoteFile)]) -> io::Result<u64> {
        let before = read_plan(&self.dir);
        let now: Vec<Planned> = remote
            .iter()
            .map(|(path, file)| Planned { path: path.clone(), bytes: file.bytes, etag: file.etag.clone() })
            .collect();
        let mut present = 0;
        for wanted in &now {
            let path = self.files().join(&wanted.path);
            let length = path.metadata().map_or(0, |metadata| metadata.len());
            if before.contains(wanted) && length <= wanted.bytes {
                present += length;
            } else if path.exists() {
                fs::remove_file(&path)?;
            }
        }
        fs::write(self.dir.join(PLAN), serde_json::to_vec(&now).map_err(io::Error::other)?)?;
        Ok(present)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn abandon(self) -> io::Result<()> {
        fs::remove_dir_all(&self.dir)?;
        self.close()
    }

    /// Ends it after its folder has gone elsewhere.
    pub(super) fn close(self) -> io::Result<()> {
        let (path, lock) = self.lock;
        fs::remove_file(path)?;
        drop(lock);
        Ok(())
    }
}

/// Bytes that the download in `dir` will have when it is complete; 0 where that is not known.
pub(super) fn planned(dir: &Path) -> u64 {
    read_plan(dir).iter().map(|file| file.bytes).sum()
}

fn read_plan(dir: &Path) -> Vec<Planned> {
    fs::read(dir.join(PLAN)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Locks the file for as long as it is open, or gives `None` when somebody else has it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        if !locks::try_exclusive(&file)? {
            return Ok(None);
        }
        // Whoever had it may have removed it: then this is the lock of nothing.
        if is_still(&file, path) {
            return Ok(Some(file));
        }
    }
}

/// Whether `path` is still this open file.
pub(super) fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// A file that grows and is hashed as it does.
pub(super) struct Growing {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Growing {
    /// Goes on with the file at `path`, hashing what is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut hash = Sha256::new();
        let length = io::copy(&mut file, &mut HashOnly(&mut hash))?;
        Ok(Self { file, hash, length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        Ok(())
    }

    /// Begins again.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Brings it to the disk; gives its SHA-256 in lower-case hex.
    pub(super) fn finish(self) -> io::Result<String> {
        self.file.sync_all()?;
        Ok(digest::hex(&self.hash.finalize()))
    }
}

struct HashOnly<'h>(&'h mut Sha256);

impl io::Write for HashOnly<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: u64, etag: &str) -> (PathBuf, RemoteFile) {
        (path.into(), RemoteFile { path: path.into(), bytes, etag: Some(etag.into()) })
    }

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Staging::open(dir.path(), "m-1").expect("writable").expect("free");
        assert!(Staging::open(dir.path(), "m-1").expect("writable").is_none());
        assert!(Staging::open(dir.path(), "m-2").expect("writable").is_some());
        first.abandon().expect("removed");
        let again = Staging::open(dir.path(), "m-1").expect("writable").expect("free again");
        again.abandon().expect("removed");
        assert!(!dir.path().join("m-1").exists() && !dir.path().join("m-1.lock").exists(), "nothing is left");
    }

    #[test]
    fn only_what_is_still_the_same_file_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(dir.path(), "k").expect("writable").expect("free");
        let remote = [file("a", 3, "1"), file("sub/b", 3, "1"), file("c", 3, "1")];
        assert_eq!(staging.resume(&remote).expect("written"), 0);
        for name in ["a", "sub/b", "c"] {
            let mut growing = Growing::open(&staging.files().join(name)).expect("opened");
            growing.append(b"ab").expect("written");
        }
        assert_eq!(staging.resume(&remote).expect("written"), 6);
        let changed = [file("a", 3, "1"), file("sub/b", 3, "2"), file("c", 1, "1")];
        assert_eq!(staging.resume(&changed).expect("written"), 2, "b has another etag, c another size");
        assert!(!staging.files().join("sub/b").exists() && !staging.files().join("c").exists());
    }

    #[test]
    fn a_file_that_is_continued_has_the_hash_of_the_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        Growing::open(&path).expect("opened").append(b"ab").expect("written");
        let mut growing = Growing::open(&path).expect("opened");
        assert_eq!(growing.length(), 2);
        growing.append(b"c").expect("written");
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(growing.finish().expect("synced"), abc);
        let mut growing = Growing::open(&path).expect("opened");
        growing.clear().expect("truncated");
        growing.append(b"abc").expect("written");
        assert_eq!((growing.length(), growing.finish().expect("synced").as_str()), (3, abc));
    }
}
