//! What is told to others about a rollout, as it lies in the outbox.

use std::collections::BTreeMap;

use perch_models::registry::Change;
use perch_router::policy::Occasion;
use perch_router::weight::Weight;
use serde::{Deserialize, Serialize};

use super::moment;

/// A change of the registry's entry of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryWrite {
    /// The model's name here.
    pub model: String,
    /// Its name in the registry.
    pub source: String,
    /// The change.
    pub change: Change,
    /// Only where each of these aliases points to one of these versions: the message may come late, and somebody may
    /// have moved them by then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only_if: BTreeMap<String, Vec<u64>>,
}

/// Something that happened, for one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The model.
    pub model: String,
    /// The version that it is about.
    pub version: Option<String>,
    /// What it is about.
    pub occasion: Occasion,
    /// What happened, for people.
    pub message: String,
    /// The phase's name after it.
    pub state: String,
    /// Why, where a version was taken out.
    pub reason: Option<String>,
    /// The canary's share of requests after it, in percent.
    pub weight: Weight,
    /// The generation of the state after it.
    pub generation: u64,
    /// The rollout's id, where something was tried.
    pub rollout: Option<String>,
    /// When, in unix seconds; RFC 3339 on the wire.
    #[serde(with = "moment")]
    pub at: f64,
    /// The receiver's name: [`super::notify::Receivers`] knows its address.
    pub receiver: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_come_back_as_they_were() {
        let changes = [
            Change::SetAlias { alias: "stable".into(), version: 3 },
            Change::DeleteAlias { alias: "canary".into() },
            Change::SetTag { version: 3, key: "perch.rollout.state".into(), value: "demoted".into() },
        ];
        let texts = [
            json!({"model": "iris", "source": "Iris", "change": {"setAlias": {"alias": "stable", "version": 3}}}),
            json!({"model": "iris", "source": "Iris", "change": {"deleteAlias": {"alias": "canary"}}}),
            json!({"model": "iris", "source": "Iris",
                "change": {"setTag": {"version": 3, "key": "perch.rollout.state", "value": "demoted"}}}),
        ];
        for (change, text) in changes.into_iter().zip(texts) {
            let write = RegistryWrite { model: "iris".into(), source: "Iris".into(), change, only_if: BTreeMap::new() };
            assert_eq!(serde_json::to_value(&write).unwrap(), text);
            assert_eq!(serde_json::from_value::<RegistryWrite>(text).unwrap(), write);
        }
    }
}
