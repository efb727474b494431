//! What `SQLite`'s errors mean to a caller.

use std::path::Path;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::schema;
use crate::{ErrorKind, StoreError};

/// `SQLITE_CORRUPT`, `SQLITE_CONSTRAINT` and `SQLITE_NOTADB`: the file is not what it should be.
const CORRUPT: u32 = 11;
const CONSTRAINT: u32 = 19;
const NOT_A_DATABASE: u32 = 26;

/// An error of a statement, or of opening the database at `path`.
pub fn of(path: &Path, error: &sqlx::Error) -> StoreError {
    let shown = path.display();
    match (error, error.as_database_error().and_then(code)) {
        (_, Some(NOT_A_DATABASE)) => StoreError::corrupt(format!("{shown} is not a database")),
        (_, Some(CORRUPT)) => StoreError::corrupt(format!("{shown} is damaged: {error}")),
        // Rows that contradict each other: only somebody else can have written them.
        (_, Some(CONSTRAINT)) => StoreError::corrupt(format!("{shown} contradicts itself: {error}")),
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_), _) => {
            StoreError::corrupt(format!("{shown} has a value of another kind: {error}"))
        }
        _ => StoreError::new(ErrorKind::Unavailable, format!("{shown}: {error}")),
    }
}

/// The primary code: the low byte, the rest says more about it.
fn code(error: &dyn DatabaseError) -> Option<u32> {
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// An error of bringing the schema up to date.
pub fn of_schema(path: &Path, error: &MigrateError) -> StoreError {
    let shown = path.display();
    let incompatible = |message| StoreError::new(ErrorKind::Incompatible, message);
    match error {
        MigrateError::VersionMissing(found) => incompatible(format!(
            "{shown} was written by a newer perch: its schema is version {found}, this perch knows up to {}",
            schema::LATEST
        )),
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => {
            incompatible(format!("{shown} has a schema that is not perch's: {error}"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => of(path, error),
        other => incompatible(format!("{shown}: {other}")),
    }
}
