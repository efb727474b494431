//! How requests become runs: jobs, the session that runs a batch of them, and the two modes.
//!
//! **Inline** ([`lane`]): a model whose run is short is run on the reactor's own turn, merged with whatever else that
//! turn brought. **Worker** ([`pool`]): everything longer goes to threads of the model's own behind a bounded queue.

pub mod job;
pub(crate) mod lane;
pub(crate) mod pool;
pub(crate) mod session;

pub use job::{Answer, Execution, InferError, Observer, Outcome};
