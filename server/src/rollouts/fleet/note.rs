//! What a replica says of itself and a rollout, as it lies in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use perch_router::fleet::SILENT;
use perch_router::judge::Gate;
use perch_router::policy::RolloutPolicy;
use perch_router::weight::Weight;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rollouts::live::{Others, Totals};

/// What a replica says of itself and a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Note {
    /// Its process.
    pub replica: String,
    /// Whether it has the canary loaded, warm and tested.
    pub ready: bool,
    /// Why it cannot have it.
    pub unfit: Option<String>,
    /// Whether its own policy file is another than the rollout's.
    pub other_policy: bool,
    /// Executions of the canary.
    pub executions: u64,
    /// The weight that its gates count since.
    pub weight: Weight,
    /// Gates of the present step, by metric.
    pub gates: BTreeMap<String, Gate>,
    /// The last minute of stable and canary.
    pub minute: [Totals; 2],
    /// What it has seen by itself, by metric.
    pub metrics: BTreeMap<String, Alone>,
}

/// What a replica has seen of a metric by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Alone {
    /// log E.
    pub evidence: f64,
    /// What is enough for it to demote by itself; none where it has no test of its own.
    pub enough: Option<f64>,
    /// Executions.
    pub n: u64,
    /// Those of them with bad rows.
    pub bad: u64,
}

/// One that takes part, or did.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name in the rollout.
    pub boot: String,
    /// How long ago it was heard of.
    pub age: Duration,
    /// What it said.
    pub note: Note,
}

impl Note {
    /// As it is stored.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!(self)
    }
}

/// Members by the processes that they are of: one that began again within its life is one, as it was heard of last.
pub(super) fn members(rows: Vec<perch_store::fleet::Member>) -> Vec<Member> {
    let mut all: BTreeMap<String, Member> = BTreeMap::new();
    for row in rows {
        // What another version of perch says, and this one cannot read, is that it is there.
        let note: Note = serde_json::from_value(row.note).unwrap_or_default();
        let boot = row.boot.split('.').next().unwrap_or_default().to_owned();
        let known = all.entry(boot.clone()).or_insert_with(|| Member { boot, age: row.age, note: note.clone() });
        if row.age < known.age {
            (known.age, known.note) = (row.age, note);
        }
    }
    all.into_values().collect()
}

/// What all have counted but those that are this process.
pub(super) fn others(members: &[Member], is_own: impl Fn(&str) -> bool) -> Others {
    let mut sum = Others::default();
    for member in members.iter().filter(|member| !is_own(&member.boot)) {
        sum.executions += member.note.executions;
        sum.gates.push((member.note.weight, member.note.gates.clone()));
        if member.age < SILENT {
            sum.minute.iter_mut().zip(&member.note.minute).for_each(|(sum, minute)| sum.add(minute));
        }
    }
    sum
}

/// What all replicas have to agree upon of a policy: who is told is left to each.
pub(super) fn shared(policy: &RolloutPolicy) -> Value {
    json!(RolloutPolicy { notifications: Vec::new(), ..policy.clone() })
}
