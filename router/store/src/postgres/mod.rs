//! The store that several replicas share, in a schema of a PostgreSQL that is there already.
//!
//! It asks nothing of a session: every call is a transaction by itself that sets what it needs, and statements are not
//! prepared. So it works through a pooler that gives each transaction another connection.

mod failure;
mod fleet;
mod listen;
mod place;
mod schema;

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction};

pub use listen::Listener;
pub use place::Place;

use crate::StoreError;
use crate::sql::Sql;
use crate::tables::Database;

/// A replica's driver, its part in the fleet, its two queues of messages, who listens, and who reads the history.
const CONNECTIONS: u32 = 6;
/// On a channel, that something has changed.
const ANNOUNCE: &str = "SELECT pg_notify($1, $2)";
/// How long a call waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store in a schema of PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    /// The address without its password.
    shown: String,
    /// On which changes are told: the name of the schema.
    channel: String,
    begin: SqlStr,
    pool: PgPool,
}

impl PostgresStore {
    /// Connects, and brings the tables up to date.
    ///
    /// # Errors
    /// When it cannot be reached, when the user may not make the schema, and when a newer perch has written it.
    pub async fn open(place: &Place) -> Result<Self, StoreError> {
        let shown = place.to_string();
        // A pooler refuses what it does not know at the start of a session: this is set in each transaction instead.
        let begin = format!(
            "BEGIN; SET LOCAL search_path = {}; SET LOCAL statement_timeout = 4000; SET LOCAL lock_timeout = 3000; \
             SET LOCAL idle_in_transaction_session_timeout = 10000",
            place.schema
        );
        let options =
            place.options.clone().statement_cache_capacity(0).extra_float_digits(None).disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .map_err(|error| failure::of_opening(place, &error))?;
        let begin = AssertSqlSafe(begin).into_sql_str();
        schema::prepare(place, &shown, begin.clone(), &pool).await?;
        Ok(Self { shown, channel: place.schema.clone(), begin, pool })
    }

    /// Ends the connections, after the calls that were begun.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

impl Database for PostgresStore {
    type Kind = Postgres;

    async fn begin(&self) -> Result<Transaction<'_, Postgres>, StoreError> {
        self.pool.begin_with(self.begin.clone()).await.map_err(|error| self.failed(&error))
    }

    async fn announce(&self, tx: &mut PgConnection, model: &str, generation: i64) -> Result<(), sqlx::Error> {
        let change = format!("{generation} {model}");
        tx.run(ANNOUNCE, &[(&self.channel).into(), (&change).into()]).await.map(drop)
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        failure::of(&self.shown, error)
    }
}
