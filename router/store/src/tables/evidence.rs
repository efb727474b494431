//! What replicas have seen.

use super::{Database, commit};
use crate::portable::{self, finite, signed, unsigned};
use crate::sql::Sql;
use crate::{EvidenceRow, StoreError};

type Row = (String, String, i64, f64, String);

pub async fn of_rollout<D: Database>(database: &D, rollout: &str) -> Result<Vec<EvidenceRow>, StoreError> {
    let mut tx = database.begin().await?;
    let rows: Vec<Row> = tx
        .rows(
            "SELECT model, boot, sequence, at, payload FROM evidence WHERE rollout = $1 ORDER BY at DESC, boot",
            &[rollout.into()],
        )
        .await
        .map_err(|error| database.failed(&error))?;
    commit(database, tx).await?;
    let read = |(model, boot, sequence, at, text): Row| {
        let payload = portable::payload(|| format!("the evidence of rollout \"{rollout}\", boot \"{boot}\","), &text)?;
        let sequence = unsigned("the sequence of evidence", sequence)?;
        Ok(EvidenceRow { model, rollout: rollout.to_owned(), boot, sequence, at, payload })
    };
    rows.into_iter().map(read).collect()
}

pub async fn put<D: Database>(database: &D, row: &EvidenceRow) -> Result<(), StoreError> {
    let numbers = numbers(row)?;
    let mut tx = database.begin().await?;
    insert(&mut *tx, row, numbers).await.map_err(|error| database.failed(&error))?;
    commit(database, tx).await
}

pub async fn adopt<D: Database>(database: &D, row: &EvidenceRow) -> Result<(), StoreError> {
    let numbers = numbers(row)?;
    let failed = |error| database.failed(&error);
    let mut tx = database.begin().await?;
    tx.run("DELETE FROM evidence WHERE rollout = $1", &[(&row.rollout).into()]).await.map_err(failed)?;
    insert(&mut *tx, row, numbers).await.map_err(failed)?;
    commit(database, tx).await
}

pub async fn forget<D: Database>(database: &D, model: &str, keep: Option<&str>) -> Result<(), StoreError> {
    let mut tx = database.begin().await?;
    tx.run("DELETE FROM evidence WHERE model = $1 AND ($2 IS NULL OR rollout <> $2)", &[model.into(), keep.into()])
        .await
        .map_err(|error| database.failed(&error))?;
    commit(database, tx).await
}

fn numbers(row: &EvidenceRow) -> Result<(i64, f64), StoreError> {
    Ok((signed("the sequence of evidence", row.sequence)?, finite("the time of evidence", row.at)?))
}

async fn insert(tx: &mut impl Sql, row: &EvidenceRow, (sequence, at): (i64, f64)) -> Result<(), sqlx::Error> {
    tx.run(
        "INSERT INTO evidence (rollout, boot, model, sequence, at, payload) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (rollout, boot) DO UPDATE
         SET model = excluded.model, sequence = excluded.sequence, at = excluded.at, payload = excluded.payload
         WHERE evidence.sequence <= excluded.sequence",
        &[
            (&row.rollout).into(),
            (&row.boot).into(),
            (&row.model).into(),
            sequence.into(),
            at.into(),
            (&row.payload.to_string()).into(),
        ],
    )
    .await?;
    Ok(())
}
