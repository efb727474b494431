//! The tables, and how an older database gets those that it does not have yet.
//!
//! Not by sqlx's migrator: its lock belongs to a session, which a pooler that shares sessions between transactions does
//! not keep. Here everything is one transaction: of replicas that start together one makes the tables, and the others
//! wait for it and find them.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, SqlStr, raw_sql};

use super::{Place, failure};
use crate::sql::Sql;
use crate::{ErrorKind, StoreError};

/// The steps, oldest first. One that was released is never changed.
const STEPS: [(i64, &str); 2] =
    [(1, include_str!("schema/0001_rollouts.sql")), (2, include_str!("schema/0002_fleet.sql"))];
/// The newest of them.
const LATEST: i64 = STEPS[STEPS.len() - 1].0;
/// Who brings schemas up to date: "perc", and "schm".
const LOCK: i64 = 0x7065_7263_7363_686d;

/// Makes sure that the schema is ours and up to date.
pub async fn prepare(place: &Place, shown: &str, begin: SqlStr, pool: &PgPool) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| failure::of(shown, &error);
    let mut tx = pool.begin_with(begin).await.map_err(failed)?;
    tx.run("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()]).await.map_err(failed)?;
    let there: Vec<(i64,)> = tx
        .rows("SELECT count(*) FROM pg_namespace WHERE nspname = $1", &[place.schema().into()])
        .await
        .map_err(failed)?;
    if there.iter().all(|(count,)| *count == 0) {
        create_schema(&mut tx, place, shown).await?;
    }
    tx.run("CREATE TABLE IF NOT EXISTS schema_step (step BIGINT NOT NULL PRIMARY KEY)", &[]).await.map_err(failed)?;
    let done: Vec<(Option<i64>,)> = tx.rows("SELECT max(step) FROM schema_step", &[]).await.map_err(failed)?;
    let done = done.first().and_then(|(step,)| *step).unwrap_or(0);
    if done > LATEST {
        let message = format!(
            "{shown} was written by a newer perch: its schema is version {done}, this perch knows up to {LATEST}"
        );
        return Err(StoreError::new(ErrorKind::Incompatible, message));
    }
    for (step, sql) in STEPS.into_iter().filter(|(step, _)| *step > done) {
        raw_sql(sql).execute(&mut *tx).await.map_err(failed)?;
        tx.run("INSERT INTO schema_step (step) VALUES ($1)", &[step.into()]).await.map_err(failed)?;
    }
    tx.commit().await.map_err(failed)
}

/// Who may not make a schema is told what somebody who may has to do.
async fn create_schema(connection: &mut PgConnection, place: &Place, shown: &str) -> Result<(), StoreError> {
    // The name has been checked: small letters, digits and _.
    let sql = format!("CREATE SCHEMA {}", place.schema());
    let made = raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    made.map(drop).map_err(|error| {
        let denied = error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"));
        let error = failure::of(shown, &error);
        if !denied {
            return error;
        }
        let hint = format!(
            "{}; let its owner run: CREATE SCHEMA {} AUTHORIZATION {}",
            error.message,
            place.schema(),
            place.options.get_username()
        );
        StoreError::new(error.kind, hint)
    })
}
