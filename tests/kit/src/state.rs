//! Where servers under test keep what they remember.

use std::path::Path;

use tempfile::TempDir;

/// Memory that looks like a disk, on Linux.
const MEMORY: &str = "/dev/shm";

/// A folder for the store of rollouts, in memory where there is room for that: every change of a rollout is synced, and
/// tests are about the rollout, not about how long a disk that is shared takes. It outlives processes that are killed.
pub fn folder() -> TempDir {
    let memory = Path::new(MEMORY);
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a folder")
}
