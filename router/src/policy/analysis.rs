//! `analysis`: what a canary is judged by.

use serde::{Deserialize, Serialize};

use super::{Metric, Span, preset};

/// What a canary is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Analysis {
    /// The judge.
    pub judge: JudgeKind,
    /// The probability with which a canary that keeps all limits may be demoted, over the whole rollout (`sequential`).
    pub false_demotion_rate: f64,
    /// Executions with bad rows that a demotion needs at least.
    pub min_failures: u32,
    /// The canary's first requests, which are not counted for latency. Errors count from the first.
    pub warmup_requests: u32,
    /// How far back `threshold` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// Requests in the window below which `threshold` says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u32>,
    /// What is measured, and its limits.
    pub metrics: Vec<Metric>,
    /// What happens when stable passes its own limit too.
    pub on_stable_failing: OnStableFailing,
}

/// Who judges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JudgeKind {
    /// The sequential test by betting: may be looked at always, is wrong with a known probability.
    #[default]
    Sequential,
    /// The share in a window against the limit: known from other tools, wrong sooner or later.
    Threshold,
}

/// What happens to the rollout when stable passes its own limit too: then it is not the canary's fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnStableFailing {
    /// The canary's weight is zero until stable is well again.
    #[default]
    Suspend,
    /// The canary is judged as ever.
    Demote,
}

impl Analysis {
    /// How far back `threshold` looks: 60 s if nothing else is said.
    #[must_use]
    pub fn window(&self) -> Span {
        self.window.unwrap_or(Span::secs(60))
    }

    /// Requests in the window below which `threshold` says nothing: 100 if nothing else is said.
    #[must_use]
    pub fn min_requests(&self) -> u32 {
        self.min_requests.unwrap_or(100)
    }

    /// Metrics that can demote: M of the threshold M / alpha. Those with `dryRun` are not counted.
    pub fn judged(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().filter(|metric| !metric.dry_run)
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            judge: JudgeKind::default(),
            false_demotion_rate: 0.001,
            min_failures: 3,
            warmup_requests: 20,
            window: None,
            min_requests: None,
            metrics: preset::phased_metrics(),
            on_stable_failing: OnStableFailing::default(),
        }
    }
}
