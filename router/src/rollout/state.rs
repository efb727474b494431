//! What is known of a rollout, as it is stored.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{policy::Plan, weight::Weight};

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// What the registry calls it, such as `3`.
    pub name: String,
    /// What it is: the digest of its files.
    pub digest: String,
}

/// A model's rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Grows by one with every change: the token of compare-and-swap.
    pub generation: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Where the alias `stable` points.
    pub stable: Option<Version>,
    /// Where the alias `canary` points.
    pub canary: Option<Version>,
    /// Rollouts that were started so far, counting every fresh beginning of evidence.
    pub starts: u64,
    /// Digests that are not tried, and until when, in seconds.
    pub quarantine: BTreeMap<String, f64>,
    /// Whether stable passes its own limit.
    pub stable_failing: bool,
    /// Since when it does or does not, in seconds.
    pub stable_since: f64,
    /// When the registry was read that `stable` and `canary` are from, in seconds: of several replicas, one that has read
    /// it before then knows less.
    #[serde(default)]
    pub seen_at: f64,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Phase {
    /// Nothing is tried.
    #[default]
    Idle,
    /// On its way.
    Progressing(Course),
    /// On its way, and waiting for somebody.
    Paused {
        /// How far it is.
        course: Course,
        /// Why it waits.
        by: PausedBy,
    },
    /// Stable fails as well: no weight, and back to its step when stable is well again.
    Suspended {
        /// How far it is.
        course: Course,
        /// Why it waited before, if it did.
        paused: Option<PausedBy>,
    },
    /// All requests go to what was the canary; the old version is still loaded.
    Promoted {
        /// What was stable.
        old: Option<Version>,
        /// What is to be stable.
        new: Version,
        /// Whether the aliases were moved.
        moved: bool,
        /// When the old version goes, in seconds.
        until: f64,
    },
    /// Taken out by the judge.
    Demoted {
        /// What was taken out.
        version: Version,
        /// Why.
        reason: Reason,
        /// When, in seconds.
        at: f64,
        /// Where the alias `stable` is moved back to, until it has arrived there.
        #[serde(default)]
        back: Option<Version>,
    },
    /// Taken out by hand, or from outside.
    Aborted {
        /// What was taken out.
        version: Version,
        /// Why.
        reason: Reason,
        /// When, in seconds.
        at: f64,
        /// Where the alias `stable` is moved back to, until it has arrived there.
        #[serde(default)]
        back: Option<Version>,
    },
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    /// What is tried.
    pub version: Version,
    /// Its steps, as they were when it started: a policy that changes is for the next one.
    pub plan: Plan,
    /// Whether it is loaded and warm.
    pub ready: bool,
    /// The step it is at.
    pub step: usize,
    /// Whether that step has begun.
    pub begun: bool,
    /// The canary's weight by its steps, or by hand.
    pub weight: Weight,
    /// When the step began, in seconds.
    pub entered: f64,
    /// Time spent in the step while evidence arrived, in seconds.
    pub spent: f64,
    /// When the last tick was, in seconds.
    pub ticked: f64,
    /// Executions of the canary so far.
    pub executions: u64,
    /// Of those, how many there were when the step began.
    pub executions_before: u64,
    /// When they last grew, in seconds.
    pub last_evidence: Option<f64>,
}

/// Why a rollout waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PausedBy {
    /// Its step says so: resuming goes on to the next one.
    Step,
    /// Somebody said so.
    Operator,
    /// A gate did not get what it needs to decide.
    Inconclusive,
    /// A replica cannot load the canary.
    Unfit,
}

/// Why a version was taken out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A metric passed its limit.
    Breach {
        /// Its name.
        metric: String,
        /// What was observed: infinite beside a stable version that never fails.
        #[serde(with = "crate::num::ratio")]
        value: f64,
        /// What is allowed.
        limit: f64,
    },
    /// Stable failed at the same time.
    Outage {
        /// The share of the canary's rows that failed.
        value: f64,
    },
    /// Another replica saw it.
    Veto(String),
    /// It could not be loaded, or failed its smoke tests.
    Unfit(String),
    /// Somebody said so.
    Operator,
    /// The alias `stable` was moved by somebody else.
    StableMoved,
    /// The alias `canary` was removed.
    CanaryRemoved,
    /// Another version was made the canary.
    Superseded,
    /// A gate did not get what it needs to decide.
    Inconclusive,
}

impl State {
    /// The canary's share of requests.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match &self.phase {
            Phase::Progressing(course) | Phase::Paused { course, .. } if course.ready => course.weight,
            Phase::Promoted { .. } => Weight::FULL,
            _ => Weight::ZERO,
        }
    }

    /// The key of evidence, and of the hash split: model, digest and start number. None while nothing is tried.
    #[must_use]
    pub fn rollout_id(&self, model: &str) -> Option<String> {
        self.trying().map(|version| format!("{model}/{}/{}", version.digest, self.starts))
    }

    /// What is tried, or was and may still be taken back.
    #[must_use]
    pub const fn trying(&self) -> Option<&Version> {
        match &self.phase {
            Phase::Progressing(course) | Phase::Paused { course, .. } | Phase::Suspended { course, .. } => {
                Some(&course.version)
            }
            Phase::Promoted { new, .. } => Some(new),
            Phase::Idle | Phase::Demoted { .. } | Phase::Aborted { .. } => None,
        }
    }

    /// Whether `digest` may not be tried at `now`, and until when.
    #[must_use]
    pub fn quarantined(&self, digest: &str, now: f64) -> Option<f64> {
        self.quarantine.get(digest).copied().filter(|until| *until > now)
    }
}

impl Phase {
    /// The name on every wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Progressing(_) => "progressing",
            Self::Paused { .. } => "paused",
            Self::Suspended { .. } => "suspended",
            Self::Promoted { .. } => "promoted",
            Self::Demoted { .. } => "demoted",
            Self::Aborted { .. } => "aborted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breach { metric, value, limit } => write!(f, "{metric}: {} is above {limit}", short(*value)),
            Self::Outage { value } => write!(f, "{:.1} % of its rows fail", 100.0 * value),
            Self::Veto(why) | Self::Unfit(why) => f.write_str(why),
            Self::Operator => f.write_str("operator"),
            Self::StableMoved => f.write_str("stable_moved"),
            Self::CanaryRemoved => f.write_str("canary_removed"),
            Self::Superseded => f.write_str("superseded"),
            Self::Inconclusive => f.write_str("inconclusive"),
        }
    }
}

/// A number with three digits, as people want to read it.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let factor = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_three_digits() {
        let reason = |value| Reason::Breach { metric: "errors".to_owned(), value, limit: 0.01 }.to_string();
        assert_eq!(reason(0.139_534_883_720_930_23), "errors: 0.14 is above 0.01");
        assert_eq!(reason(1.0), "errors: 1 is above 0.01");
        assert_eq!(reason(0.010_23), "errors: 0.0102 is above 0.01");
        assert_eq!(reason(f64::INFINITY), "errors: inf is above 0.01");
    }

    #[test]
    fn a_breach_beside_a_stable_version_that_never_fails_survives_being_stored() {
        for value in [f64::INFINITY, 0.25] {
            let reason = Reason::Breach { metric: "versus".to_owned(), value, limit: 1.5 };
            let stored = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&stored).unwrap(), reason, "{stored}");
        }
    }
}
