//! What is to be done about a change.

use super::Version;
use crate::{policy::Occasion, weight::Weight};

/// One thing to do. Effects are done in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The canary's share of requests is this, at once. Gates begin anew.
    SetWeight(Weight),
    /// Evidence begins anew, under this start number.
    FreshEvidence(u64),
    /// Point an alias to a version.
    SetAlias(Alias, Version),
    /// Remove the alias `canary`.
    ClearCanary,
    /// Write the tags `perch.rollout.state`, `.reason` and `.at` (seconds) on a version.
    Tag {
        /// The version.
        version: Version,
        /// The phase's name.
        state: &'static str,
        /// Why.
        reason: String,
        /// When.
        at: f64,
    },
    /// Do not try a digest until then, in seconds.
    Quarantine(String, f64),
    /// The canary serves as stable from here on; the old version may go.
    Retire(Option<Version>),
    /// Tell those who asked for it.
    Notify(Occasion, String),
    /// Write a row: from phase, to phase, and what happened. Every change has exactly one, and it is the last effect.
    Audit {
        /// The phase's name before.
        from: &'static str,
        /// The phase's name after.
        to: &'static str,
        /// What happened.
        what: String,
    },
}

/// An alias that a rollout moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alias {
    /// Where `perch models rollback` goes.
    Previous,
    /// What callers rely on.
    Stable,
}
