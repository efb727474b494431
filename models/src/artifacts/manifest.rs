//! What is in a cached folder: every file with its size and SHA-256.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::remote::RemoteFile;
use crate::digest::{self, Known};
use crate::registry::inside;

/// The form that is written; another one is not read.
const FORMAT: u32 = 1;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the folder, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hex.
    pub sha256: String,
    /// What the store said its content was, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// What a cached folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Where it was downloaded from.
    pub source: String,
    /// When.
    pub fetched: SystemTime,
    /// Its files.
    pub files: Vec<Entry>,
}

impl Manifest {
    /// A manifest of these files, downloaded now.
    #[must_use]
    pub fn new(source: impl Into<String>, files: Vec<Entry>) -> Self {
        Self { format: FORMAT, source: source.into(), fetched: SystemTime::now(), files }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if manifest.format == FORMAT { Ok(manifest) } else { Err(format!("its format is {}", manifest.format)) }
    }

    /// Whether the store still has what was downloaded, as far as its listing tells. A store that does not name contents
    /// is believed for ten minutes after the download.
    #[must_use]
    pub fn is_current(&self, listed: &[RemoteFile]) -> bool {
        const BELIEVED: Duration = Duration::from_secs(600);
        let named = self.files.iter().all(|file| file.etag.is_some());
        let same = |file: &Entry| {
            let now = listed.iter().find(|now| now.path == file.path);
            now.is_some_and(|now| now.bytes == file.bytes && (!named || now.etag == file.etag))
        };
        let young = self.fetched.elapsed().is_ok_and(|age| age < BELIEVED);
        self.files.len() == listed.len() && self.files.iter().all(same) && (named || young)
    }

    /// Hashes every file in `dir` and compares. It blocks for as long as reading them takes.
    ///
    /// # Errors
    /// Names the first file that is not as it was written down.
    pub fn verify(&self, dir: &Path) -> Result<Known, String> {
        let mut known = Known::new();
        for file in &self.files {
            let path = dir.join(inside(&file.path)?);
            let found = path.metadata().and_then(|metadata| {
                if metadata.len() == file.bytes { digest::of_file(&path) } else { Err(io::Error::other("its size")) }
            });
            match found {
                Ok(sha) if sha == file.sha256 => drop(known.insert(file.path.clone(), sha)),
                Ok(sha) => return Err(format!("{}: expected sha256 {}, got {sha}", file.path, file.sha256)),
                Err(error) => return Err(format!("{}: {error} is not as downloaded", file.path)),
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("sub")).expect("made");
        std::fs::write(dir.path().join("sub/f"), "abc").expect("written");
        // FIPS 180-2, appendix B.1.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let manifest = Manifest::new(
            "s3://b/p",
            vec![Entry { path: "sub/f".into(), bytes: 3, sha256: sha256.clone(), etag: None }],
        );
        let again = Manifest::parse(&serde_json::to_vec(&manifest).expect("JSON")).expect("the same");
        assert_eq!((&again, again.bytes()), (&manifest, 3));
        assert_eq!(manifest.verify(dir.path()), Ok([("sub/f".to_owned(), sha256)].into()));
        for (content, expected) in [("abd", "expected sha256 ba78"), ("ab", "its size"), ("abcd", "its size")] {
            std::fs::write(dir.path().join("sub/f"), content).expect("written");
            let error = manifest.verify(dir.path()).expect_err(content);
            assert!(error.contains(expected), "{error}");
        }
        std::fs::remove_file(dir.path().join("sub/f")).expect("removed");
        assert!(manifest.verify(dir.path()).expect_err("gone").contains("sub/f"));
    }

    #[test]
    fn a_store_that_has_something_else_now_is_noticed() {
        let entry = |etag: Option<&str>| Entry {
            path: "f".into(),
            bytes: 3,
            sha256: String::new(),
            etag: etag.map(str::to_owned),
        };
        let listed =
            |bytes, etag: Option<&str>| [RemoteFile { path: "f".into(), bytes, etag: etag.map(str::to_owned) }];
        let named = Manifest::new("s3://b/p", vec![entry(Some("1"))]);
        assert!(named.is_current(&listed(3, Some("1"))));
        assert!(!named.is_current(&listed(3, Some("2"))), "another content");
        assert!(!named.is_current(&listed(4, Some("1"))), "another size");
        assert!(!named.is_current(&[]), "gone");
        let mut unnamed = Manifest::new("mlflow-artifacts:/p", vec![entry(None)]);
        assert!(unnamed.is_current(&listed(3, None)));
        unnamed.fetched = SystemTime::now() - Duration::from_secs(601);
        assert!(!unnamed.is_current(&listed(3, None)), "nobody knows any more");
    }

    #[test]
    fn other_forms_are_not_read() {
        assert!(Manifest::parse(b"{}").is_err());
        let mut value = serde_json::to_value(Manifest::new("x", vec![])).expect("JSON");
        value["format"] = 2.into();
        assert_eq!(Manifest::parse(value.to_string().as_bytes()), Err("its format is 2".into()));
    }
}
