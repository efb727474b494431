//! Locks on files, which end with their process. A file system that has none is used without: then one process should
//! have the cache.

use std::fs::{File, TryLockError};
use std::io;

/// Shared with others that lock it so.
pub(super) fn shared(file: &File) -> io::Result<()> {
    without(file.lock_shared())
}

/// For itself; waits until nobody else has it.
pub(super) fn exclusive(file: &File) -> io::Result<()> {
    without(file.lock())
}

/// For itself, if nobody else has it.
pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => without(Err(error)).map(|()| true),
    }
}

fn without(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}
