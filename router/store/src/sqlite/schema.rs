//! The tables, and how an older database gets those it does not have yet.

use std::path::Path;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection, SqlitePool};

use super::failure;
use crate::{ErrorKind, StoreError};

/// The steps, oldest first. One that was released is never changed: databases remember what it said.
const STEPS: [(i64, &str, &str); 2] = [
    (1, "rollouts", include_str!("schema/0001_rollouts.sql")),
    (2, "holders", include_str!("schema/0002_holders.sql")),
];
/// The newest of them.
pub const LATEST: i64 = STEPS[STEPS.len() - 1].0;
/// "perc": says in the file's header whose it is.
const APPLICATION: i64 = 0x7065_7263;

/// Makes sure that the database is ours and up to date.
pub async fn prepare(path: &Path, pool: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await.map_err(|error| failure::of(path, &error))?;
    claim(path, &mut connection).await?;
    // Kept in the file. Readers do not wait for writers, and a commit is one write.
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failure::of(path, &error))?;
    if mode != "wal" {
        let message =
            format!("{}: its file system has no shared memory (is it on a network?): journal {mode}", path.display());
        return Err(StoreError::new(ErrorKind::Unavailable, message));
    }
    drop(connection);
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    // Over the pool: over a connection the future is `Send` for one lifetime only, and nobody could spawn it.
    Migrator::with_migrations(steps.to_vec()).run(pool).await.map_err(|error| failure::of_schema(path, &error))
}

/// Refuses what another program has written, before anything is changed in it.
async fn claim(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| failure::of(path, &error);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    if application == APPLICATION {
        return Ok(());
    }
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(failed)?;
    if application != 0 || tables != 0 {
        let message = format!("{} is the database of another program", path.display());
        return Err(StoreError::new(ErrorKind::Incompatible, message));
    }
    // A pragma takes no parameters.
    sqlx::query("PRAGMA application_id = 0x70657263").execute(connection).await.map_err(failed)?;
    Ok(())
}
