//! A rollout as the server tells of it. What a server leaves out is taken as nothing: old clients and new servers get on.

use serde::Deserialize;
use serde_json::Value;

/// One model's rollout.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    pub(super) model: String,
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) reason: Option<String>,
    pub(super) stable: Option<Version>,
    pub(super) canary: Option<Version>,
    #[serde(default)]
    pub(super) strategy: String,
    #[serde(default)]
    pub(super) judge: String,
    #[serde(default)]
    pub(super) split: String,
    #[serde(default)]
    pub(super) weight: f64,
    pub(super) actual_share: Option<f64>,
    #[serde(default)]
    pub(super) ready: bool,
    pub(super) step: Option<usize>,
    pub(super) steps: Option<usize>,
    #[serde(default)]
    pub(super) plan: Vec<Value>,
    pub(super) step_elapsed: Option<f64>,
    pub(super) step_remaining: Option<f64>,
    pub(super) waiting_for: Option<String>,
    pub(super) paused_by: Option<String>,
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) metrics: Vec<Metric>,
    pub(super) gate: Option<Gate>,
    pub(super) tracks: Option<Tracks>,
    pub(super) fallbacks: Option<Fallbacks>,
    #[serde(default)]
    pub(super) stable_failing: bool,
    #[serde(default)]
    pub(super) quarantine: Vec<Quarantined>,
    pub(super) fleet: Option<Fleet>,
    pub(super) store: Option<Store>,
}

/// The replicas that share the store.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Fleet {
    #[serde(default)]
    pub(super) seen: u64,
    #[serde(default)]
    pub(super) ready: u64,
    #[serde(default)]
    pub(super) replicas: Vec<Replica>,
}

/// One of them.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replica {
    #[serde(rename = "replica")]
    pub(super) name: String,
    /// Whether it is the one that answered.
    #[serde(default)]
    pub(super) asked: bool,
    /// How long ago it was heard of, in seconds.
    #[serde(default)]
    pub(super) heard: f64,
    #[serde(default)]
    pub(super) ready: bool,
    pub(super) unfit: Option<String>,
    #[serde(default)]
    pub(super) other_policy: bool,
    #[serde(default)]
    pub(super) metrics: Vec<Metric>,
}

/// Where a rollout is.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Idle,
    Progressing,
    Paused,
    Suspended,
    Promoted,
    Demoted,
    Aborted,
    /// A word of a newer server.
    #[serde(untagged)]
    Other(String),
}

impl State {
    /// The word on the wire.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Idle => "idle",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
            Self::Aborted => "aborted",
            Self::Other(word) => word,
        }
    }

    /// Whether something is tried.
    pub(super) const fn is_trying(&self) -> bool {
        matches!(self, Self::Progressing | Self::Paused | Self::Suspended)
    }
}

/// One version of a model.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) version: String,
}

/// One metric of the policy.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metric {
    pub(super) name: String,
    #[serde(default)]
    pub(super) unit: String,
    pub(super) value: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) latency_limit: Option<f64>,
    pub(super) evidence: Option<f64>,
    pub(super) enough: Option<f64>,
    #[serde(default)]
    pub(super) n: u64,
    #[serde(default)]
    pub(super) bad: u64,
    #[serde(default)]
    pub(super) status: String,
}

/// The gate that the rollout stands at.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Gate {
    pub(super) step: Option<usize>,
    #[serde(default)]
    pub(super) metrics: Vec<GateMetric>,
}

/// What a gate asks of one metric.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct GateMetric {
    pub(super) name: String,
    pub(super) value: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) evidence: Option<f64>,
    pub(super) enough: Option<f64>,
    #[serde(default)]
    pub(super) n: u64,
    #[serde(default)]
    pub(super) bad: u64,
    #[serde(default)]
    pub(super) passed: bool,
}

/// Both versions beside each other.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Tracks {
    pub(super) stable: Option<Track>,
    pub(super) canary: Option<Track>,
}

/// How one version does.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Track {
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default)]
    pub(super) requests: u64,
    #[serde(default)]
    pub(super) failed: u64,
    pub(super) per_second: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Requests that stable answered for the canary.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Fallbacks {
    #[serde(default)]
    pub(super) error: u64,
    #[serde(default)]
    pub(super) timeout: u64,
    #[serde(default)]
    pub(super) invalid_output: u64,
    #[serde(default)]
    pub(super) exhausted: u64,
    pub(super) left: Option<f64>,
    pub(super) burst: Option<f64>,
}

/// A digest that is not tried for a while.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Quarantined {
    pub(super) digest: String,
    pub(super) until: Option<String>,
}

/// Where the state is kept.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Store {
    pub(super) state: String,
    pub(super) error: Option<String>,
}

/// One transition.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Moved {
    pub(super) at: String,
    pub(super) who: String,
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) what: Option<String>,
}

/// Transitions, newest first.
#[derive(Deserialize, Debug, Clone, Default)]
pub(super) struct Past {
    pub(super) history: Vec<Moved>,
}
