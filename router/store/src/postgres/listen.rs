//! Hearing of changes as they are made.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{PgConnection, Row};

use super::PostgresStore;
use crate::StoreError;
use crate::sql::Sql;
use crate::tables::Database;

/// How long a message to oneself may take.
const ECHO: Duration = Duration::from_secs(2);
/// How often it is tried whether two transactions of a connection share a session.
const TRIES: usize = 3;

/// Hears of changes of rollouts. What was said while it was not connected is lost: whoever listens looks by itself too.
pub struct Listener(PgListener);

impl PostgresStore {
    /// Listens, on a connection of its own.
    ///
    /// # Errors
    /// When it cannot be reached, and where messages do not come through: a pooler that gives each transaction another
    /// session forgets who listens.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        // Asked first: a session that listens for one client of a pooler sends what it hears to any other.
        if self.shares_sessions().await.map_err(failed)? {
            return Err(self.nobody_listens());
        }
        let mut listener = PgListener::connect_with(&self.pool).await.map_err(failed)?;
        listener.listen(&self.channel).await.map_err(failed)?;
        let echo = format!("?{:016x}", fastrand::u64(..));
        let mut tx = self.begin().await?;
        tx.run(super::ANNOUNCE, &[(&self.channel).into(), (&echo).into()]).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let heard = tokio::time::timeout(ECHO, async {
            loop {
                if listener.recv().await.map_err(failed)?.payload() == echo {
                    return Ok(());
                }
            }
        });
        match heard.await {
            Ok(heard) => heard.map(|()| Listener(listener)),
            Err(_) => Err(self.nobody_listens()),
        }
    }

    fn nobody_listens(&self) -> StoreError {
        let why = "nobody can LISTEN here (is there a pooler in transaction mode?)";
        StoreError::unavailable(format!("{}: {why}", self.shown))
    }

    /// Whether a connection has another session when somebody else is given the one that it had.
    async fn shares_sessions(&self) -> Result<bool, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..TRIES {
            let before = session(&mut connection).await?;
            let mut other = self.pool.begin().await?;
            if session(&mut other).await? == before || session(&mut connection).await? != before {
                return Ok(true);
            }
            other.rollback().await?;
        }
        Ok(false)
    }
}

/// Asked in one message: of the several that a statement with arguments takes, a pooler may give each to another session.
async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

impl Listener {
    /// The model whose rollout has changed, and to which generation; none where the connection was lost, and messages with it. It is made anew
    /// with the next call.
    ///
    /// # Errors
    /// When it cannot be made anew.
    pub async fn next(&mut self) -> Result<Option<(String, u64)>, StoreError> {
        loop {
            let heard = self.0.try_recv().await.map_err(|error| StoreError::unavailable(error.to_string()))?;
            let Some(heard) = heard else { return Ok(None) };
            // Else somebody tries whether it hears itself.
            if let Some((generation, model)) = heard.payload().split_once(' ')
                && let Ok(generation) = generation.parse()
            {
                return Ok(Some((model.to_owned(), generation)));
            }
        }
    }
}
