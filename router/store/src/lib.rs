//! Where the state of rollouts lives: states with compare-and-swap by generation, the audit history, evidence, and the
//! outbox of what is to be told to others.
//!
//! [`Store`] is what perch needs of a database; [`SqliteStore`] is the embedded one, for a single replica, and
//! [`PostgresStore`] the one that several share. Whatever a change brings with it (its audit row, its messages) is stored
//! in one transaction with it, or not at all.

mod error;
pub mod fleet;
mod portable;
pub mod postgres;
mod records;
mod sql;
pub mod sqlite;
mod tables;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use perch_router::rollout::State;

pub use error::{ErrorKind, StoreError};
pub use postgres::PostgresStore;
pub use records::{Audit, Backlog, Claim, EvidenceRow, Message, Pending, Queue, Swap, Transition};
pub use sqlite::SqliteStore;

/// A boxed future, for a trait that is used as an object.
pub type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// A database of rollouts. Every call is one transaction. Times are unix seconds.
///
/// A call that was begun has to be polled until it ends, or dropped: others may wait for it. One that is dropped, or
/// ends in [`ErrorKind::Unavailable`], is done or not, but never by half. A database elsewhere may do it a moment later,
/// so asking is not enough: whoever does a transition again is told that it is [`Swap::Stale`].
pub trait Store: Send + Sync {
    /// The states of all models that have one, by model.
    fn states(&self) -> BoxFuture<'_, Result<BTreeMap<String, State>, StoreError>>;

    /// Stores the state (its generation is `from` + 1), the audit row and the messages, if the stored generation is
    /// still `from` (0: none stored). Else nothing of it.
    fn transition<'a>(&'a self, transition: &'a Transition) -> BoxFuture<'a, Result<Swap, StoreError>>;

    /// Stores a state whose generation has not changed: only clocks and counts did.
    fn touch<'a>(&'a self, model: &'a str, state: &'a State) -> BoxFuture<'a, Result<Swap, StoreError>>;

    /// The audit rows of a model, newest first; those before a generation where one is named.
    fn history<'a>(
        &'a self,
        model: &'a str,
        limit: u32,
        before: Option<u64>,
    ) -> BoxFuture<'a, Result<Vec<Audit>, StoreError>>;

    /// The rows of evidence of one rollout id, newest first.
    fn evidence<'a>(&'a self, rollout: &'a str) -> BoxFuture<'a, Result<Vec<EvidenceRow>, StoreError>>;

    /// Stores a boot's latest evidence. A row of the same boot with a larger sequence stays.
    fn put_evidence<'a>(&'a self, row: &'a EvidenceRow) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Puts this row in the place of all rows of its rollout: a single replica that was restarted has folded them into
    /// it.
    fn adopt_evidence<'a>(&'a self, row: &'a EvidenceRow) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes the evidence of all rollouts of a model but this one.
    fn forget_evidence<'a>(&'a self, model: &'a str, keep: Option<&'a str>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Takes messages of a queue that are due, oldest first: nobody else does so until the claim ends, but for who has it
    /// already. Of each group only the oldest that is not sent: they go in their order, and one that was put off, or is
    /// somebody else's, holds back those after it.
    fn claim<'a>(
        &'a self,
        queue: Queue,
        claim: &'a Claim,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>>;

    /// The message has arrived. Its key is remembered for thirty days.
    fn sent(&self, id: i64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The message did not arrive, and is due again then. Counts an attempt.
    fn put_off<'a>(&'a self, id: i64, error: &'a str, until: f64) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The message is not tried any more. It can be looked at for thirty days.
    fn give_up<'a>(&'a self, id: i64, error: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// What of a queue has not arrived yet.
    fn backlog(&self, queue: Queue) -> BoxFuture<'_, Result<Backlog, StoreError>>;
}
