//! Evidence as it is stored: what a restart goes on from.

use std::collections::BTreeMap;

use perch_router::evidence::Counts;
use perch_router::judge::{Gate, Relative, Sums, Threshold};
use perch_router::weight::Weight;
use serde::{Deserialize, Serialize};

/// All of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stored {
    /// Metrics by name.
    pub metrics: BTreeMap<String, StoredMetric>,
    /// Executions of the canary.
    pub executions: u64,
    /// Gates of the present step, by metric.
    pub gates: BTreeMap<String, Gate>,
    /// The weight that they count since.
    pub weight: Weight,
}

/// One metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredMetric {
    /// What was counted.
    pub counts: Counts,
    /// The state of its test.
    pub kept: Option<Kept>,
}

/// The state of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// The sequential test.
    Chain(Sums),
    /// A share in a window.
    Window(Threshold),
    /// The comparison with stable.
    Relative(Relative),
}
