//! `fleet`: what concerns several replicas that share a store.

use serde::{Deserialize, Serialize};

use super::Span;

/// How replicas that share a store roll out together. With one replica there is nothing to share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fleet {
    /// Processes that may test a rollout by themselves, restarts included: they share the chance of a false demotion.
    /// Those beyond judge with the others only.
    pub max_replicas: u32,
    /// The share of replicas, in percent, that have to have the canary loaded before the first step.
    pub min_ready: u32,
    /// How long the others are waited for.
    pub ready_within: Span,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { max_replicas: 100, min_ready: 100, ready_within: Span::mins(10) }
    }
}
