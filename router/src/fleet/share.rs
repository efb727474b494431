//! What one boot has to say, and what all boots say together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Counts,
    judge::mixture::{K, Wealth, multiply},
};

/// What one boot has seen of one metric, from its first execution to a tick. Logarithms to the base e, one for each bet;
/// they start at 0. Counts only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Executions dispatched so far; those that turned out bad so far.
    pub counts: Counts,
    /// What all of them multiply each bet's wealth by.
    pub all: [f64; K],
    /// The same of those that were dispatched when it knew of `epochs` epochs.
    pub young: [f64; K],
    /// Epochs of the pool that it knew of when it began.
    pub first: u64,
    /// Epochs of the pool that it knows of.
    pub epochs: u64,
    /// Executions in flight that were dispatched before it knew of the last.
    pub older: u64,
}

/// What a boot publishes as of a tick: all that was dispatched before it, and of that, what is known to be bad.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The tick.
    pub tick: u64,
    /// By the metric's name.
    pub shares: BTreeMap<String, Share>,
    /// That no other will come, as the process ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// Shares, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// Executions.
    pub counts: Counts,
    /// What they multiply each bet's wealth by.
    pub all: Wealth,
    /// The same of those that are younger than the pool's youngest epoch.
    pub young: Wealth,
}

impl Share {
    /// Whether a boot that has said `before` can say this later.
    #[must_use]
    pub const fn follows(&self, before: &Self) -> bool {
        self.epochs >= before.epochs && has_grown(&self.counts, &before.counts)
    }
}

impl Report {
    /// Whether a boot that has reported `before` can report this later.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        before.shares.iter().all(|(name, before)| self.shares.get(name).is_some_and(|share| share.follows(before)))
    }
}

impl Total {
    /// Adds one boot's share, when `epochs` epochs have opened in the pool.
    pub fn add(&mut self, share: &Share, epochs: u64) {
        self.counts.add(&share.counts);
        multiply(&mut self.all, &share.all);
        if share.epochs == epochs {
            multiply(&mut self.young, &share.young);
        }
    }

    /// Whether it has everything that `before` had.
    pub(super) const fn follows(&self, before: &Self) -> bool {
        has_grown(&self.counts, &before.counts)
    }
}

/// Bad rows are rounded, those of a sum may be so the other way.
const fn has_grown(now: &Counts, before: &Counts) -> bool {
    now.executions >= before.executions && now.bad_executions >= before.bad_executions && now.rows >= before.rows
}
