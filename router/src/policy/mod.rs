//! What a team decides once about its rollouts: how requests are divided, what a canary is judged by, and by which steps
//! it comes to all traffic. Plain data with defaults; [`RolloutPolicy::problems`] finds what does not fit together.
//! Text with lines and columns is the server's business.

mod analysis;
mod check;
mod fleet;
mod metric;
mod notify;
mod preset;
mod routing;
mod smoke;
mod strategy;
mod unsupported;
mod values;

pub use analysis::{Analysis, JudgeKind, OnStableFailing};
pub use check::Problem;
pub use fleet::Fleet;
pub use metric::{CompareTo, Metric, MetricType, Rule, Source};
pub use notify::{Notification, NotificationType, Occasion, Secret};
pub use routing::{Fallback, FallbackOn, HashKey, Routing};
pub use smoke::SmokeTests;
pub use strategy::{BlueGreen, Canary, GateStep, OnInconclusive, Pause, Plan, Promote, Step, Strategy};
pub use unsupported::Unsupported;
pub use values::{Max, Quantile, Span};

use serde::{Deserialize, Serialize};

/// A rollout policy. What is left out is as in the preset [`phased`](RolloutPolicy::phased).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloutPolicy {
    /// How requests are divided, and what happens to those that the canary fails.
    pub routing: Routing,
    /// What the canary is judged by.
    pub analysis: Analysis,
    /// The steps to all traffic.
    pub strategy: Strategy,
    /// What follows a demotion.
    pub abort: Abort,
    /// What concerns several replicas.
    pub fleet: Fleet,
    /// Who is told.
    pub notifications: Vec<Notification>,
}

/// What follows a demotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Abort {
    /// How long a demoted version is not tried again, unless by force.
    pub quarantine: Span,
}

impl Default for Abort {
    fn default() -> Self {
        Self { quarantine: Span::mins(24 * 60) }
    }
}
