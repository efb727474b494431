//! One process at a time: a lock on a file beside the database. It ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::{ErrorKind, StoreError};

/// More than any number of a process takes.
const MAX_PID: u64 = 32;

/// Held for as long as it lives. The file stays: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the database at `path`.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let place = Path::new(&name);
        let failed = |error: io::Error| {
            StoreError::new(ErrorKind::Unavailable, format!("{} cannot be locked: {error}", place.display()))
        };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} is in use by {}", path.display(), holder(&mut file));
                return Err(StoreError::new(ErrorKind::InUse, message));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who has it, as far as the file says so.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(MAX_PID).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) if pid == std::process::id() => "this process already".to_owned(),
        (Ok(_), Ok(pid)) => format!("another process ({pid})"),
        _ => "another process".to_owned(),
    }
}
