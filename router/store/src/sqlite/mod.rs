//! The store in a file, for a single replica.

mod failure;
mod lock;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::tables::Database;
use crate::{ErrorKind, StoreError};
use lock::Lock;

/// How long a statement waits for another process that looks into the file.
const BUSY: Duration = Duration::from_secs(5);
/// How long a call waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store in a file. It has one connection: calls are done one after another, in their order.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    // Before the lock: fields are dropped in their order.
    pool: SqlitePool,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the file, which is made where it does not exist, with its folder. A change is on the disk when its call
    /// is done.
    ///
    /// # Errors
    /// When another process has it, when it is not a store or a newer one, and when it cannot be read or written.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = real(path.as_ref())?;
        let lock = Lock::take(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .map_err(|error| failure::of(&path, &error))?;
        schema::prepare(&path, &pool).await?;
        Ok(Self { path, pool, _lock: lock })
    }

    /// Ends the connection, after the calls that were begun. Without it the file is as good; it is then put in order
    /// by the next process.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

impl Database for SqliteStore {
    type Kind = Sqlite;

    /// Takes the write lock at once, so that it cannot fail for want of it later.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let failed = |error| self.failed(&error);
        match self.pool.begin_with(BEGIN).await {
            // Where SQLite has ended a transaction by itself, as it does when the disk is full, its connection counts it
            // as open for ever: only another one helps.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.pool.acquire().await.map_err(failed)?.close().await.map_err(failed)?;
                self.pool.begin_with(BEGIN).await.map_err(failed)
            }
            begun => begun.map_err(failed),
        }
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        failure::of(&self.path, error)
    }
}

/// The file itself, so that two names of it have one lock.
fn real(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::new(ErrorKind::Unavailable, format!("{} cannot be used: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let path = match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            folder.canonicalize().map_err(failed)?.join(path.file_name().unwrap_or_default())
        }
        other => other.map_err(failed)?,
    };
    if path.is_dir() {
        let message = format!("{} is a folder: expected a file", path.display());
        return Err(StoreError::new(ErrorKind::Unavailable, message));
    }
    Ok(path)
}
