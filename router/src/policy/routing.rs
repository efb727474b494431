//! `routing`: how requests are divided, and what happens to those that the canary fails.

use serde::{Deserialize, Serialize};

use super::Span;
use crate::split::Split;

/// How requests are divided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Routing {
    /// `balanced`, `random` or `hash`.
    pub split: Split,
    /// What the hash split hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<HashKey>,
    /// What happens to requests that the canary fails.
    pub fallback: Fallback,
}

/// What the hash split hashes: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashKey {
    /// A header of the request.
    Header(String),
    /// A key of the object `parameters` in the request's body.
    Field(String),
}

/// Requests that the canary fails are answered by stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fallback {
    /// Which failures are. None: callers see the canary's errors.
    pub on: Vec<FallbackOn>,
    /// When a request is late. Without it: twice the largest latency limit, or one second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// How many requests may fall back, in percent of the request rate.
    pub budget_percent: f64,
    /// How many may at once, in requests: the first broken executions arrive together.
    pub burst: u32,
}

/// A failure that is answered by stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FallbackOn {
    /// The canary failed.
    Error,
    /// The canary is late: longer than `after`.
    Timeout,
    /// It answered with NaN, infinity or a wrong shape.
    InvalidOutput,
}

impl Default for Fallback {
    fn default() -> Self {
        let on = vec![FallbackOn::Error, FallbackOn::Timeout, FallbackOn::InvalidOutput];
        Self { on, after: None, budget_percent: 20.0, burst: 1000 }
    }
}
