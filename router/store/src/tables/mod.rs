//! What every database does alike: the tables have the same columns, and the statements are SQL that all understand.

mod evidence;
mod outbox;
mod rollouts;

use std::collections::BTreeMap;
use std::future::Future;

use perch_router::rollout::State;
use sqlx::Transaction;

use crate::sql::Sql;
use crate::{Audit, Backlog, BoxFuture, Claim, EvidenceRow, Pending, Queue, Store, StoreError, Swap, Transition};

/// A database with our tables, brought up to date.
pub trait Database: Send + Sync {
    /// Which one.
    type Kind: sqlx::Database<Connection: Sql>;

    /// Begins a transaction. One that is dropped is as if it had never been.
    fn begin(&self) -> impl Future<Output = Result<Transaction<'_, Self::Kind>, StoreError>> + Send;

    /// Within the transaction of a change: tells others of it when it is done. Nobody hears of it where there is nobody.
    fn announce(
        &self,
        tx: &mut <Self::Kind as sqlx::Database>::Connection,
        model: &str,
        generation: i64,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (tx, model, generation);
        std::future::ready(Ok(()))
    }

    /// What an error of a statement means.
    fn failed(&self, error: &sqlx::Error) -> StoreError;
}

/// Ends a transaction: all of it is stored.
async fn commit<D: Database>(database: &D, tx: Transaction<'_, D::Kind>) -> Result<(), StoreError> {
    tx.commit().await.map_err(|error| database.failed(&error))
}

impl<D: Database> Store for D {
    fn states(&self) -> BoxFuture<'_, Result<BTreeMap<String, State>, StoreError>> {
        Box::pin(rollouts::states(self))
    }

    fn transition<'a>(&'a self, transition: &'a Transition) -> BoxFuture<'a, Result<Swap, StoreError>> {
        Box::pin(rollouts::transition(self, transition))
    }

    fn touch<'a>(&'a self, model: &'a str, state: &'a State) -> BoxFuture<'a, Result<Swap, StoreError>> {
        Box::pin(rollouts::touch(self, model, state))
    }

    fn history<'a>(
        &'a self,
        model: &'a str,
        limit: u32,
        before: Option<u64>,
    ) -> BoxFuture<'a, Result<Vec<Audit>, StoreError>> {
        Box::pin(rollouts::history(self, model, limit, before))
    }

    fn evidence<'a>(&'a self, rollout: &'a str) -> BoxFuture<'a, Result<Vec<EvidenceRow>, StoreError>> {
        Box::pin(evidence::of_rollout(self, rollout))
    }

    fn put_evidence<'a>(&'a self, row: &'a EvidenceRow) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(evidence::put(self, row))
    }

    fn adopt_evidence<'a>(&'a self, row: &'a EvidenceRow) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(evidence::adopt(self, row))
    }

    fn forget_evidence<'a>(&'a self, model: &'a str, keep: Option<&'a str>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(evidence::forget(self, model, keep))
    }

    fn claim<'a>(
        &'a self,
        queue: Queue,
        claim: &'a Claim,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(outbox::claim(self, queue, claim, limit))
    }

    fn sent(&self, id: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(outbox::finish(self, id, None))
    }

    fn put_off<'a>(&'a self, id: i64, error: &'a str, until: f64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(outbox::put_off(self, id, error, until))
    }

    fn give_up<'a>(&'a self, id: i64, error: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(outbox::finish(self, id, Some(error)))
    }

    fn backlog(&self, queue: Queue) -> BoxFuture<'_, Result<Backlog, StoreError>> {
        Box::pin(outbox::backlog(self, queue))
    }
}
