//! `/health`, `/health/live`, `/health/ready`, `/health/all`: one state machine behind them, the catalog's and the
//! lifecycle's, which requests go by too.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::response::json_answer;
use crate::catalog::{Catalog, ModelEntry, Snapshot};
use crate::lifecycle::Lifecycle;
use crate::rollouts::Rollouts;
use crate::writeback::WriteBack;

/// What the health endpoints read.
#[derive(Clone)]
pub struct Health {
    /// What is loaded.
    pub catalog: Arc<Catalog>,
    /// Whether we are leaving.
    pub lifecycle: Arc<Lifecycle>,
    /// What the registry has not taken yet.
    pub writes: WriteBack,
    /// What rolls out.
    pub rollouts: Rollouts,
}

impl Health {
    /// `ready`, `draining`, or `loading`: why the server is not ready.
    fn status(&self, snapshot: &Snapshot) -> &'static str {
        if self.lifecycle.is_draining() {
            "draining"
        } else if snapshot.is_ready() {
            "ready"
        } else {
            "not_ready"
        }
    }
}

/// The process answers: nothing more. A liveness probe that asked for models would restart a server whose registry is
/// away.
pub async fn live() -> Response {
    json_answer(StatusCode::OK, &json!({"status": "live"}))
}

/// Whether requests should be sent here, and what is missing when not.
pub async fn ready(State(health): State<Health>) -> Response {
    let snapshot = health.catalog.load();
    let status = health.status(&snapshot);
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let missing = snapshot.models.iter().filter(|(_, model)| model.required && model.stable.is_none());
    let waiting: Vec<&String> = missing.map(|(name, _)| name).collect();
    let body =
        if waiting.is_empty() { json!({"status": status}) } else { json!({"status": status, "waiting_for": waiting}) };
    json_answer(code, &body)
}

/// Everything: each model, version, digest, state and last error, and the registry.
pub async fn all(State(health): State<Health>) -> Response {
    let snapshot = health.catalog.load();
    let described = |(name, entry): (&String, &ModelEntry)| model(name, entry, health.rollouts.view(name).as_deref());
    let models: Vec<Value> = snapshot.models.iter().map(described).collect();
    let registry = &snapshot.registry;
    let state = match (&registry.error, registry.last_success) {
        (Some(_), _) => "unreachable",
        (None, Some(_)) => "ready",
        (None, None) => "loading",
    };
    let last_success = registry.last_success.map(|time| humantime::format_rfc3339_millis(time).to_string());
    let mut body = json!({
        "status": health.status(&snapshot),
        "models": models,
        "registry": {"state": state, "lastSuccess": last_success},
    });
    if let Some(error) = &registry.error {
        body["registry"]["error"] = json!(error);
    }
    if let Some(as_of) = registry.recalled {
        body["registry"]["servingFromCacheAsOf"] = json!(humantime::format_rfc3339_millis(as_of).to_string());
    }
    body["store"] = match health.rollouts.store_error() {
        None => json!({"state": "ready"}),
        Some(error) => json!({"state": "unavailable", "error": error}),
    };
    let writes = health.writes.report();
    if writes.pending > 0 {
        body["registry"]["writeBack"] = json!({"pending": writes.pending});
        if let Some(error) = writes.error {
            body["registry"]["writeBack"]["error"] = json!(error);
        }
    }
    json_answer(StatusCode::OK, &body)
}

fn model(name: &str, entry: &ModelEntry, rollout: Option<&Value>) -> Value {
    let versions: Vec<Value> = entry
        .versions
        .iter()
        .map(|report| {
            let mut version = json!({
                "version": report.version.to_string(),
                "track": report.track.name(),
                "digest": report.digest,
                "state": report.state,
            });
            if let Some(error) = &report.error {
                version["error"] = json!(error);
            }
            if let Some((bytes, of)) = report.download.as_ref().and_then(|download| download.state()) {
                version["download"] = json!({"bytes": bytes, "of": of});
            }
            version
        })
        .collect();
    let mut model = json!({
        "name": name,
        "ready": entry.stable.is_some(),
        "required": entry.required,
        "versions": versions,
    });
    if let Some(error) = &entry.error {
        model["error"] = json!(error);
    }
    if let Some(rollout) = rollout {
        let keys = ["state", "step", "steps", "weight", "generation", "reason"];
        model["rollout"] = keys.iter().map(|key| ((*key).to_owned(), rollout[*key].clone())).collect();
    }
    model
}
