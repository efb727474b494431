//! How requests become runs: jobs, the session that runs a batch of them, and the two modes.
//!
//! Executions that somebody judges are followed ([`flight`]).
//!
//! **Inline** (`lane`): a model whose run is short is run on the reactor's own [turn], merged with whatever else that
//! turn brought. **Worker** (`pool`): everything longer goes to threads of the model's own behind a bounded queue.
//!
//! Texts are of different lengths: which of them share a run is for [`compose`] to say, from what [`grid`] knows of cost.
//! Each text of a request is a job by itself, so that a large request is run in many small runs, with others' texts among
//! its own.

pub mod answer;
pub mod compose;
pub mod flight;
pub mod grid;
pub(crate) mod home;
pub mod job;
pub(crate) mod lane;
pub mod pending;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod scatter;
pub(crate) mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod turn;

pub use answer::{Answer, Execution, InferError, Observer, Outcome, Reply, Tokens};
pub use flight::{Dispatched, Flight, Follow, Part};
pub use job::Text;
pub use pending::{Pending, Replies};
pub use turn::Turns;
