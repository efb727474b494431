//! What replicas tell each other through the store that they share. See [`perch_router::fleet`] for what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perch_router::fleet::{Pool, Report};
use serde_json::Value;

/// A process that takes part in judging a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Joining {
    /// The model.
    pub model: String,
    /// The rollout's id.
    pub rollout: String,
    /// Its own name, which nobody has had before.
    pub boot: String,
    /// The pool and the policy of the rollout, where nobody has joined yet.
    pub pool: Pool,
    /// What the rollout is judged by.
    pub policy: Value,
    /// What it says of itself.
    pub note: Value,
}

/// What it has joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Which of the tests that this rollout may make is this boot's, from 0.
    pub seat: u32,
    /// The pool as it is.
    pub pool: Pool,
    /// The rollout's policy: that of the first who joined.
    pub policy: Value,
}

/// One boot has something to say about one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// The rollout's id.
    pub rollout: String,
    /// The boot's name.
    pub boot: String,
    /// What it has counted.
    pub report: Option<Report>,
    /// What it says of itself.
    pub note: Value,
    /// The tick of the pool that it knows.
    pub known: u64,
}

/// A process that shares the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its own name, which nobody has had before.
    pub boot: String,
    /// For people: where it runs.
    pub name: String,
    /// The models that it serves.
    pub models: BTreeSet<String>,
    /// How long ago it was heard of, by the store's clock.
    pub age: Duration,
}

/// What it hears in return.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The store's clock, since 1970.
    pub at: Duration,
    /// The generations that are stored, by model.
    pub generations: BTreeMap<String, u64>,
    /// Who shares the store, or did within the last minute, by their names as boots.
    pub replicas: Vec<Replica>,
    /// Pools that have gone on, by rollout.
    pub pools: BTreeMap<String, Pool>,
}

/// A boot, as it was heard of last.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub boot: String,
    /// How long ago it was heard of, by the store's clock.
    pub age: Duration,
    /// What it said of itself.
    pub note: Value,
}

/// All that is needed to bring a pool on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// The pool.
    pub pool: Pool,
    /// Reports, by boot and tick.
    pub reports: Vec<(String, Report)>,
    /// How long ago each boot was heard of.
    pub ages: BTreeMap<String, Duration>,
}
