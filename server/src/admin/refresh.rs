//! `POST /admin/models/{model}/refresh`: for a registry's webhook, or a person who does not want to wait for the poll.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::catalog::Catalog;
use crate::error::{ApiError, Kind};
use crate::http::response::json_answer;
use crate::reconcile::Refresh;

#[derive(Clone)]
pub(super) struct Refreshing {
    pub(super) refresh: Refresh,
    pub(super) catalog: Arc<Catalog>,
    /// Whether a model that is not known yet may be a new one.
    pub(super) follows_all: bool,
}

/// Answers 202 at once: what comes of it shows in /health/all.
pub(super) async fn refresh(State(state): State<Refreshing>, Path(model): Path<String>) -> Response {
    if !state.follows_all && !state.catalog.load().models.contains_key(&model) {
        let short: String = model.chars().take(64).collect();
        return ApiError::new(Kind::ModelNotFound, format!("no model \"{short}\" is configured")).into_response();
    }
    state.refresh.model(&model);
    json_answer(StatusCode::ACCEPTED, &json!({"model": model, "refresh": "begun"}))
}
