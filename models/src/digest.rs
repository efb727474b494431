//! Digests of files and of versions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Digests of files that were read and compared a moment ago, by path relative to the version's folder.
pub type Known = BTreeMap<String, String>;

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a file, in lower-case hex.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// The digest of a version: SHA-256 over the sorted lines `path\0sha256\n` of its files, written `sha256:<hex>`.
///
/// `files` are the paths relative to the version's folder, with `/`, and the hex digest of each.
#[must_use]
pub fn of_version(files: &[(String, String)]) -> String {
    let mut lines: Vec<String> = files.iter().map(|(path, sha)| format!("{path}\0{sha}\n")).collect();
    lines.sort();
    let mut hash = Sha256::new();
    lines.iter().for_each(|line| hash.update(line));
    format!("sha256:{}", hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_does_not_matter() {
        let a = ("model.onnx".to_owned(), "00".to_owned());
        let b = ("weights.bin".to_owned(), "11".to_owned());
        // Python: hashlib.sha256(b"model.onnx\x0000\nweights.bin\x0011\n").hexdigest()
        let expected = "sha256:f14dccb30aa0307ea9c04ec60dc0402a22423188cefd87306134154656ec8df7";
        assert_eq!(of_version(&[a.clone(), b.clone()]), expected);
        assert_eq!(of_version(&[b, a]), expected);
    }

    #[test]
    fn files_are_hashed_as_sha256sum_does() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        std::fs::write(&path, "abc").expect("written");
        // FIPS 180-2, appendix B.1.
        assert_eq!(of_file(&path).expect("read"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
