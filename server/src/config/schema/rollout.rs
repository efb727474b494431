//! `rollout`, `rollouts` and `state`: how canaries come to all traffic, and where that is remembered.

use crate::config::Secret;
use perch_router::policy::{NotificationType, Occasion, RolloutPolicy};
use perch_store::postgres::Place;
use std::path::PathBuf;

/// A policy that was read and checked, and who is told.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// The policy, without problems. Addresses that were written out are hidden in it: `receivers` has them. Paths are
    /// absolute where they were relative to the policy's file.
    pub policy: RolloutPolicy,
    /// For people: the preset's name, the path of the file, or `inline`.
    pub name: String,
    /// Who is told of what, in the order of the policy.
    pub receivers: Vec<Receiver>,
}

/// Who is told: one of the policy's `notifications`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The form of the message.
    pub kind: NotificationType,
    /// Where it goes: http:// or https://.
    pub url: Secret,
    /// Of what it is told.
    pub on: Vec<Occasion>,
}

/// `state`: where rollouts are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateUrl {
    /// `sqlite:///ABSOLUTE` or `sqlite:RELATIVE`: a file of an embedded database. Relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&schema=…`: a schema of a PostgreSQL that several replicas
    /// share.
    Postgres(Box<Place>),
}

/// `rollouts`: what is written about rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollouts {
    /// `auditLog`: a file to which every change is appended as a line of JSON; none by default.
    pub audit_log: Option<PathBuf>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { policy: RolloutPolicy::phased(), name: "phased".to_owned(), receivers: Vec::new() }
    }
}

/// The same rollout, wherever it was written.
impl PartialEq for Rollout {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy && self.receivers == other.receivers
    }
}
