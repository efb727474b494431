//! `notifications`: who is told of what.

use serde::{Deserialize, Serialize};

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notification {
    /// The form of the message.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// Where it goes. A webhook's address is a secret: better from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the address is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<Secret>,
    /// Of what it is told.
    #[serde(default = "all")]
    pub on: Vec<Occasion>,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NotificationType {
    /// Text for a channel.
    Slack,
    /// JSON for a program.
    Webhook,
}

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Secret {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(String),
}

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Occasion {
    /// A canary gets its first requests.
    Started,
    /// The canary is the new stable.
    Promoted,
    /// The judge took it out.
    Demoted,
    /// Somebody, or something outside, took it out.
    Aborted,
    /// Stable fails as well.
    Suspended,
    /// A gate did not get what it needs to decide.
    Inconclusive,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Started, Self::Promoted, Self::Demoted, Self::Aborted, Self::Suspended, Self::Inconclusive];
}

fn all() -> Vec<Occasion> {
    Occasion::ALL.to_vec()
}
