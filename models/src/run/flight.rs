//! Following executions: whoever judges a version hears of each execution from its dispatch to the end of its last
//! request.
//!
//! A request that is to be judged carries a [`Follow`]. When a batch is dispatched, its requests become the parts of one
//! [`Flight`]; each goes back to its request with the answer. What a part became (late, failed, answered elsewhere) is
//! told by whoever knows: the request, while it is there, and the session for those that nobody waits for any more.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::answer::{Answer, InferError};

/// Whoever judges executions.
pub trait Follow: Send + Sync {
    /// A batch is dispatched, on this thread.
    fn dispatched(self: Arc<Self>, what: Dispatched) -> Arc<dyn Flight>;
}

/// What is followed of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatched {
    /// Its rows.
    pub rows: u32,
    /// Its parts: one a request, or one for each of a request's texts.
    pub parts: u32,
    /// Requests that are judged by how long they take, each in one execution only: a request with many texts is in many.
    pub requests: u32,
    /// The rows of those.
    pub timed: u32,
}

/// One execution on its way. It has ended when its last handle is dropped.
pub trait Flight: Any + Send + Sync {
    /// Whether all requests of a batch that fails are answered elsewhere. Otherwise each is run alone.
    fn answered_elsewhere(&self) -> bool;

    /// The batch failed as a whole: all its requests share this fate.
    fn failed(&self);

    /// The batch is run anew, in another flight: this one says nothing.
    fn withdrawn(&self);

    /// Nobody waits for the answer of part `part`; it came after `took`.
    fn abandoned(&self, part: u32, rows: u32, took: Duration, result: Result<&Answer, &InferError>);
}

/// One request's part of a flight.
#[derive(Clone)]
pub struct Part {
    /// The flight.
    pub flight: Arc<dyn Flight>,
    /// Its number in it.
    pub index: u32,
    /// Its rows.
    pub rows: u32,
    /// Whether it is the one by which its request's time is judged.
    pub timed: bool,
}

/// What a request that waits for a worker shares with its job.
#[derive(Default)]
pub(crate) struct Cell {
    part: OnceLock<Part>,
    given_up: AtomicBool,
}

impl Cell {
    /// Its part, once it has one.
    pub(crate) fn get(&self) -> Option<&Part> {
        self.part.get()
    }

    /// The request has failed by another of its jobs: what becomes of this one says nothing.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// What a followed job carries.
pub(crate) struct Followed {
    pub(crate) follow: Arc<dyn Follow>,
    /// When it was submitted: where its latency begins.
    pub(crate) submitted: Instant,
    /// Only where it may have to wait: an inline run is over before anybody could look.
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) part: Option<Part>,
    /// Whether its request's time is judged by it.
    pub(crate) timed: bool,
}

impl Followed {
    pub(crate) fn new((follow, submitted): (Arc<dyn Follow>, Instant), cell: Option<Arc<Cell>>) -> Self {
        Self { follow, submitted, cell, part: None, timed: true }
    }

    /// Whether the request went on without it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.given_up.load(Ordering::Acquire))
    }

    /// It belongs to a flight from here on.
    pub(crate) fn join(&mut self, part: Part) {
        if let Some(cell) = &self.cell {
            // A job that is run anew has told of its first flight already; the answer carries this one.
            let _ = cell.part.set(part.clone());
        }
        self.part = Some(part);
    }
}
