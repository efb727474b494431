//! What is to be told to others.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Database, commit};
use crate::portable::{self, finite, unsigned};
use crate::sql::{Sql, Value};
use crate::{Backlog, Claim, Message, Pending, Queue, StoreError};

/// How long what is done can be looked at, and its key is remembered, in seconds.
const KEPT: f64 = 30.0 * 24.0 * 3600.0;

/// Within a transition. A key that is there already is left as it is.
pub async fn insert(tx: &mut impl Sql, message: &Message, since: f64) -> Result<(), sqlx::Error> {
    tx.run(
        "INSERT INTO outbox (key, queue, group_name, payload, since) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (key) DO NOTHING",
        &[
            (&message.key).into(),
            message.queue.name().into(),
            (&message.group).into(),
            (&message.payload.to_string()).into(),
            since.into(),
        ],
    )
    .await?;
    Ok(())
}

type Row = (i64, String, String, String, i64, f64);

pub async fn claim<D: Database>(
    database: &D,
    queue: Queue,
    claim: &Claim,
    limit: u32,
) -> Result<Vec<Pending>, StoreError> {
    let (now, until) = (finite("the time", claim.now)?, finite("the end of a claim", claim.until)?);
    let mut tx = database.begin().await?;
    // Of two that claim the same row at once, the second waits for the first, and then asks the last line again.
    let mut rows: Vec<Row> = tx
        .rows(
            "UPDATE outbox SET holder = $3, held_until = $4
             WHERE id IN (
                 SELECT id FROM outbox
                 WHERE id IN (SELECT min(id) FROM outbox WHERE queue = $1 AND done IS NULL GROUP BY group_name)
                   AND due <= $2 AND (held_until <= $2 OR holder = $3)
                 ORDER BY id LIMIT $5)
               AND done IS NULL AND due <= $2 AND (held_until <= $2 OR holder = $3)
             RETURNING id, key, group_name, payload, attempts, since",
            &[queue.name().into(), now.into(), (&claim.holder).into(), until.into(), Value::Integer(limit.into())],
        )
        .await
        .map_err(|error| database.failed(&error))?;
    commit(database, tx).await?;
    rows.sort_unstable_by_key(|(id, ..)| *id);
    let read = |(id, key, group, text, attempts, since): Row| {
        let payload = portable::payload(|| format!("message {id}, \"{key}\","), &text)?;
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        Ok(Pending { id, message: Message { key, queue, group, payload }, attempts, since })
    };
    rows.into_iter().map(read).collect()
}

pub async fn put_off<D: Database>(database: &D, id: i64, error: &str, until: f64) -> Result<(), StoreError> {
    let until = finite("the time of the next attempt", until)?;
    let mut tx = database.begin().await?;
    tx.run(
        "UPDATE outbox SET attempts = attempts + 1, error = $2, due = $3, held_until = 0
         WHERE id = $1 AND done IS NULL",
        &[id.into(), error.into(), until.into()],
    )
    .await
    .map_err(|error| database.failed(&error))?;
    commit(database, tx).await
}

/// Sent where there is no error, given up where there is one. What was done long ago goes.
pub async fn finish<D: Database>(database: &D, id: i64, error: Option<&str>) -> Result<(), StoreError> {
    let failed = |error| database.failed(&error);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut tx = database.begin().await?;
    tx.run(
        "UPDATE outbox SET attempts = attempts + 1, error = $2, done = $3 WHERE id = $1 AND done IS NULL",
        &[id.into(), error.into(), now.into()],
    )
    .await
    .map_err(failed)?;
    tx.run("DELETE FROM outbox WHERE done < $1", &[Value::Float(now - KEPT)]).await.map_err(failed)?;
    commit(database, tx).await
}

pub async fn backlog<D: Database>(database: &D, queue: Queue) -> Result<Backlog, StoreError> {
    let mut tx = database.begin().await?;
    let rows: Vec<(i64, Option<String>)> = tx
        .rows(
            "SELECT count(*),
                    (SELECT error FROM outbox
                     WHERE queue = $1 AND done IS NULL AND error IS NOT NULL ORDER BY id LIMIT 1)
             FROM outbox WHERE queue = $1 AND done IS NULL",
            &[queue.name().into()],
        )
        .await
        .map_err(|error| database.failed(&error))?;
    commit(database, tx).await?;
    let (pending, error) = rows.into_iter().next().unwrap_or_default();
    Ok(Backlog { pending: unsigned("a count of messages", pending)?, error })
}
