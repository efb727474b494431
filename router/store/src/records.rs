//! What is stored.

use std::fmt;

use perch_router::rollout::State;
use serde_json::Value;

/// A change of a model's rollout, with all that must not be stored without it.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The model.
    pub model: String,
    /// The generation before; 0 where nothing was stored.
    pub from: u64,
    /// The state after; its generation is `from` + 1.
    pub state: State,
    /// What happened; its generation is the state's.
    pub audit: Audit,
    /// What is to be told to others about it, in this order.
    pub messages: Vec<Message>,
}

/// How a compare-and-swap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// It is stored.
    Done,
    /// Somebody else was faster; nothing is stored.
    Stale {
        /// The generation that is stored; 0 where there is none.
        generation: u64,
    },
}

/// A row of the history of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The generation of the state after it.
    pub generation: u64,
    /// When, in unix seconds.
    pub at: f64,
    /// Who did it.
    pub who: String,
    /// The phase's name before.
    pub from: String,
    /// The phase's name after.
    pub to: String,
    /// What happened.
    pub what: String,
    /// The version that it is about.
    pub version: Option<String>,
}

/// Something that somebody outside is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Tells the receiver that it is the same one again. A second message with the same key is not stored.
    pub key: String,
    /// How it goes.
    pub queue: Queue,
    /// Messages of one group arrive in their order.
    pub group: String,
    /// What is to be told.
    pub payload: Value,
}

/// How a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// To the registry: aliases and tags.
    Registry,
    /// To people and their programs.
    Notify,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Registry, Self::Notify];

    /// The name that it is stored under.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Notify => "notify",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who takes messages to send them, and for how long. Times are unix seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The name of the process.
    pub holder: String,
    /// What is due by then, and what claims have ended.
    pub now: f64,
    /// When the claim ends: whoever lives claims again before that.
    pub until: f64,
}

/// A message that has not arrived yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// What the store calls it.
    pub id: i64,
    /// The message.
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when it waits: the moment of its transition, in unix seconds.
    pub since: f64,
}

/// What of a queue has not arrived yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many messages.
    pub pending: u64,
    /// What went wrong last with the oldest of them that was tried in vain.
    pub error: Option<String>,
}

/// What one boot of a replica has seen of one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceRow {
    /// The model.
    pub model: String,
    /// The rollout's id.
    pub rollout: String,
    /// The boot's id.
    pub boot: String,
    /// Grows with every row of a boot.
    pub sequence: u64,
    /// When, in unix seconds.
    pub at: f64,
    /// The sums.
    pub payload: Value,
}
