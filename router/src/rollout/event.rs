//! What happens to a rollout.

use super::Version;
use crate::{judge::Verdict, weight::Weight};

/// Something that happened. `start` is the number of the rollout that it is about ([`super::State::starts`]): what is
/// about an earlier one means nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The alias `canary` points to this version. May be told again and again.
    CanaryAppeared(Version),
    /// The version with this digest is loaded and warm and, where the plan asks for it, passed its smoke tests.
    CanaryReady(String),
    /// The version with this digest cannot be loaded, or failed its smoke tests; why.
    CanaryUnfit(String, String),
    /// One replica of several cannot load the version with this digest; which, and why.
    ReplicaUnfit(String, String),
    /// There is no alias `canary`.
    CanaryRemoved,
    /// The alias `stable` points to this version. May be told again and again.
    StableMoved(Version),
    /// Stable passes its own limit, or does no longer.
    StableFailing(bool),
    /// A judge looked at a metric that is not for show only.
    Judged {
        /// Of which rollout.
        start: u64,
        /// The metric's name.
        metric: String,
        /// What it said.
        verdict: Verdict,
    },
    /// The canary fails as stable does at the same time, so that none of it is shown to be the canary's fault.
    Outage {
        /// Of which rollout.
        start: u64,
        /// What was observed of the canary: the share of rows that failed.
        value: f64,
    },
    /// Another replica has taken the canary out.
    Veto {
        /// Of which rollout.
        start: u64,
        /// What it took out.
        digest: String,
        /// Why.
        why: String,
    },
    /// The gate at this step was looked at: whether it passes.
    Gate {
        /// Of which rollout.
        start: u64,
        /// The step.
        step: usize,
        /// Whether all of its metrics pass.
        passed: bool,
    },
    /// Time went on, and so many executions of the canary were counted since the rollout started.
    Tick {
        /// Of which rollout the executions are.
        start: u64,
        /// All of them.
        executions: u64,
    },
    /// Somebody said so.
    Command(Command),
}

/// What somebody may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Try the canary again from the first step, if it is not in quarantine.
    Start,
    /// The same; `force` lifts the quarantine, and spends the chance of a false demotion anew.
    Retry {
        /// In spite of quarantine.
        force: bool,
    },
    /// Go on to the next step, without waiting for this one.
    Promote,
    /// Go on to promotion, without the steps in between.
    PromoteFull,
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Take the canary out.
    Abort,
    /// Give the canary this weight, and stay there.
    SetWeight(Weight),
}
