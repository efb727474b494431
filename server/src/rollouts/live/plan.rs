//! What a [`super::Live`] is made of, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use perch_router::judge::Verdict;
use perch_router::policy::RolloutPolicy;
use tokio::sync::mpsc;

use super::{Seat, Stored};
use crate::rollouts::clock::Clock;

/// Why a request was answered by stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The canary failed.
    Error,
    /// It was late.
    Timeout,
    /// It answered with NaN, infinity or a wrong shape.
    InvalidOutput,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Error, Self::Timeout, Self::InvalidOutput];

    /// The name on every wire: `error`, `timeout`, `invalid_output`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::InvalidOutput => "invalid_output",
        }
    }
}

/// Which failures stable answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallsBack {
    /// Errors.
    pub error: bool,
    /// Lateness.
    pub timeout: bool,
    /// NaN, infinity, wrong shapes.
    pub invalid_output: bool,
}

/// A judge has decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Of which model.
    pub model: String,
    /// Of which rollout of it.
    pub start: u64,
    /// The metric's name.
    pub metric: String,
    /// What it said.
    pub verdict: Verdict,
}

/// What a [`super::Live`] is made of.
pub struct Plan {
    /// The model.
    pub model: String,
    /// The key of its evidence: model, digest and start number.
    pub rollout: String,
    /// Its start number.
    pub start: u64,
    /// The digest of what is tried.
    pub digest: String,
    /// The policy.
    pub policy: Arc<RolloutPolicy>,
    /// When a request ends, whatever happens.
    pub timeout: Duration,
    /// Slots to count in: one for each reactor, and one for all other threads.
    pub slots: usize,
    /// Where an earlier process stopped.
    pub stored: Stored,
    /// Its place among several replicas, if there are any.
    pub seat: Option<Seat>,
    /// Who hears of decisions.
    pub trips: mpsc::UnboundedSender<Trip>,
    /// The clock.
    pub clock: Clock,
}
