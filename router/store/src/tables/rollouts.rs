//! States and their history.

use std::collections::BTreeMap;

use perch_router::rollout::State;

use super::{Database, commit, outbox};
use crate::portable::{self, finite, signed, unsigned};
use crate::sql::{Sql, Value};
use crate::{Audit, StoreError, Swap, Transition};

pub async fn states<D: Database>(database: &D) -> Result<BTreeMap<String, State>, StoreError> {
    let mut tx = database.begin().await?;
    let rows: Vec<(String, String)> =
        tx.rows("SELECT model, state FROM rollout", &[]).await.map_err(|error| database.failed(&error))?;
    commit(database, tx).await?;
    let read = |(model, text): (String, String)| {
        let state = portable::state_from_text(&model, &text)?;
        Ok((model, state))
    };
    rows.into_iter().map(read).collect()
}

pub async fn transition<D: Database>(database: &D, transition: &Transition) -> Result<Swap, StoreError> {
    portable::check(transition)?;
    let Transition { model, from, state, audit, messages } = transition;
    let failed = |error| database.failed(&error);
    let at = finite("the time of an audit row", audit.at)?;
    let change = Change::new(model, *from, state)?;
    let mut tx = database.begin().await?;
    if !change.swap(&mut *tx).await.map_err(failed)? {
        return stale(database, &mut *tx, model).await;
    }
    tx.run(
        "INSERT INTO audit (model, generation, at, who, from_phase, to_phase, what, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            model.into(),
            change.to.into(),
            at.into(),
            (&audit.who).into(),
            (&audit.from).into(),
            (&audit.to).into(),
            (&audit.what).into(),
            audit.version.as_deref().into(),
        ],
    )
    .await
    .map_err(failed)?;
    for message in messages {
        outbox::insert(&mut *tx, message, at).await.map_err(failed)?;
    }
    database.announce(&mut tx, model, change.to).await.map_err(failed)?;
    commit(database, tx).await?;
    Ok(Swap::Done)
}

pub async fn touch<D: Database>(database: &D, model: &str, state: &State) -> Result<Swap, StoreError> {
    let change = Change::new(model, state.generation, state)?;
    let mut tx = database.begin().await?;
    if !change.swap(&mut *tx).await.map_err(|error| database.failed(&error))? {
        return stale(database, &mut *tx, model).await;
    }
    commit(database, tx).await?;
    Ok(Swap::Done)
}

/// A state in the place of one of generation `from`.
struct Change<'a> {
    model: &'a str,
    from: i64,
    to: i64,
    text: String,
}

impl<'a> Change<'a> {
    fn new(model: &'a str, from: u64, state: &State) -> Result<Self, StoreError> {
        let to = signed("the generation of a state", state.generation)?;
        let from = signed("the generation before", from)?;
        Ok(Self { model, from, to, text: portable::state_to_text(model, state)? })
    }

    /// False where another generation is stored.
    async fn swap(&self, tx: &mut impl Sql) -> Result<bool, sqlx::Error> {
        // Only from 0 there may be nothing to update.
        let sql = if self.from == 0 {
            "INSERT INTO rollout (model, generation, state) VALUES ($1, $2, $3)
             ON CONFLICT (model) DO UPDATE SET generation = excluded.generation, state = excluded.state
             WHERE rollout.generation = $4"
        } else {
            "UPDATE rollout SET generation = $2, state = $3 WHERE model = $1 AND generation = $4"
        };
        let values = [self.model.into(), self.to.into(), (&self.text).into(), self.from.into()];
        Ok(tx.run(sql, &values).await? == 1)
    }
}

/// The transaction is dropped by the caller, and nothing of it is stored.
async fn stale<D: Database>(database: &D, tx: &mut impl Sql, model: &str) -> Result<Swap, StoreError> {
    let stored: Vec<(i64,)> = tx
        .rows("SELECT generation FROM rollout WHERE model = $1", &[model.into()])
        .await
        .map_err(|error| database.failed(&error))?;
    let generation = stored.first().map_or(0, |(generation,)| *generation);
    Ok(Swap::Stale { generation: unsigned("a stored generation", generation)? })
}

type AuditRow = (i64, f64, String, String, String, String, Option<String>);

pub async fn history<D: Database>(
    database: &D,
    model: &str,
    limit: u32,
    before: Option<u64>,
) -> Result<Vec<Audit>, StoreError> {
    // Whatever is above the largest that can be stored is above all of them.
    let last = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX).saturating_sub(1));
    let mut tx = database.begin().await?;
    let rows: Vec<AuditRow> = tx
        .rows(
            "SELECT generation, at, who, from_phase, to_phase, what, version FROM audit
             WHERE model = $1 AND generation <= $2 ORDER BY generation DESC LIMIT $3",
            &[model.into(), last.into(), Value::Integer(limit.into())],
        )
        .await
        .map_err(|error| database.failed(&error))?;
    commit(database, tx).await?;
    let audit = |(generation, at, who, from, to, what, version)| {
        Ok(Audit {
            generation: unsigned("the generation of an audit row", generation)?,
            at,
            who,
            from,
            to,
            what,
            version,
        })
    };
    rows.into_iter().map(audit).collect()
}
