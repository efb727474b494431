//! What waits for a worker: tensors in the order they came, texts by their lengths.

mod fifo;
#[cfg(test)]
mod tests;
mod texts;

use std::time::Instant;

pub(crate) use fifo::Fifo;
pub(crate) use texts::Texts;

use super::job::Job;

/// Jobs that share a run; never empty.
pub(crate) struct Batch {
    pub(crate) jobs: Vec<Job>,
    /// They are parts of a flight already.
    pub(crate) dispatched: bool,
    /// What texts are padded to, in tokens; 0 for the longest of them.
    pub(crate) length: usize,
}

impl Batch {
    /// Jobs that nobody has dispatched.
    pub(crate) const fn of(jobs: Vec<Job>) -> Self {
        Self { jobs, dispatched: false, length: 0 }
    }
}

/// When the last of `jobs` expires.
pub(crate) fn last_deadline(jobs: &[Job]) -> Instant {
    jobs.iter().map(|job| job.deadline).max().unwrap_or_else(Instant::now)
}

/// What a queue knows of what it would give next.
pub(crate) struct Head {
    /// When the oldest came.
    pub(crate) oldest: Instant,
    /// Whether waiting for more would gain nothing: a run is full, or dispatched already.
    pub(crate) full: bool,
}
