//! What was seen of a rollout, in counts that add up over threads, replicas and restarts.

use serde::{Deserialize, Serialize};

/// Executions of one track, by one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Executions.
    pub executions: u64,
    /// Those with bad rows.
    pub bad_executions: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that went badly.
    pub bad_rows: u64,
}

impl Counts {
    /// One execution of `rows` rows, `bad` of them badly.
    pub fn record(&mut self, rows: u32, bad: u32) {
        let bad = bad.min(rows);
        self.add(&Self { executions: 1, bad_executions: u64::from(bad > 0), rows: rows.into(), bad_rows: bad.into() });
    }

    /// Adds another's counts to these.
    pub const fn add(&mut self, other: &Self) {
        self.executions = self.executions.saturating_add(other.executions);
        self.bad_executions = self.bad_executions.saturating_add(other.bad_executions);
        self.rows = self.rows.saturating_add(other.rows);
        self.bad_rows = self.bad_rows.saturating_add(other.bad_rows);
    }
}
