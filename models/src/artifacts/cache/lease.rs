//! What keeps an entry in the cache: a shared lock on its manifest, which ends with the process that holds it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::MANIFEST;
use crate::artifacts::locks;
use crate::artifacts::staging::is_still;

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

/// Locks the entry `dir` against eviction, if it is there.
pub(super) fn lease(dir: &Path) -> io::Result<Option<Lease>> {
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
