//! One request's rows on their way through a model, and what comes back.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::tensor::{Column, Tensor};

/// Why a request got no outputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InferError {
    /// The inputs do not fit the model in a way that its signature does not show.
    #[error("{0}")]
    InvalidInput(String),
    /// More work is waiting than the queue may hold.
    #[error("the model's queue is full: {waiting_ms} ms of work are waiting")]
    Overloaded {
        /// Estimated time of what is waiting.
        waiting_ms: u64,
    },
    /// The deadline passed, waiting or running.
    #[error("the model gave no answer before the deadline")]
    Timeout,
    /// The model failed on this input.
    #[error("{0}")]
    Failed(String),
    /// The version was dropped while the request waited.
    #[error("the model version was unloaded")]
    Unloaded,
}

/// The outputs of one request: some rows of a batch's outputs, which its neighbours share.
#[derive(Debug, Clone)]
pub struct Answer {
    /// All outputs of the batch, in the signature's order.
    pub columns: Arc<[Column]>,
    /// This request's rows.
    pub rows: Range<usize>,
    /// From submission to the start of the run.
    pub queued: Duration,
    /// The run.
    pub executed: Duration,
}

/// How one execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With outputs.
    Ok,
    /// With an error of the model.
    Failed,
    /// With an error that the inputs are to blame for.
    InvalidInput,
    /// By the watchdog.
    Terminated,
}

/// One run of a batch, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Rows in the batch.
    pub rows: usize,
    /// Requests in the batch.
    pub requests: usize,
    /// How long it ran.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// Is told of every execution, on the thread that ran it.
pub trait Observer: Send + Sync {
    /// One batch was run.
    fn executed(&self, execution: &Execution);
}

/// One request, waiting.
pub(crate) struct Job {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) rows: usize,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Answer, InferError>>,
}

impl Job {
    /// Answers; a client that is gone is no error.
    pub(crate) fn answer(self, result: Result<Answer, InferError>) {
        let _ = self.reply.send(result);
    }

    /// False when its client is gone or its deadline has passed.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && now < self.deadline
    }

    /// True when the rows of `other` may stand behind the rows of this one.
    pub(crate) fn stacks_with(&self, other: &Self) -> bool {
        self.inputs.iter().zip(&other.inputs).all(|(one, two)| one.stacks_with(two))
    }
}
