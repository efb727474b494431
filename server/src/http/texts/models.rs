//! `GET /v1/models` and `/v1/models/{model}`: one body for clients of `OpenAI` and of `KServe`.

use std::time::UNIX_EPOCH;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::http::response::{Answered, json_answer};
use crate::reactor::Seat;

/// `GET /v1/models`: what is loaded, whether it takes texts or tensors.
pub async fn list(State(seat): State<Seat>) -> Response {
    let snapshot = seat.serving.catalog.load();
    let loaded = || snapshot.models.values().filter_map(|entry| entry.stable.as_deref());
    let data: Vec<Value> = loaded().map(shown).collect();
    let names: Vec<&str> = loaded().map(|served| served.model.as_str()).collect();
    json_answer(StatusCode::OK, &json!({"object": "list", "data": data, "models": names}))
}

/// `GET /v1/models/{model}`; 503 while nothing of it is loaded.
pub async fn one(State(seat): State<Seat>, model: Result<Path<String>, PathRejection>) -> Response {
    let model = match model {
        Ok(Path(model)) => model,
        Err(error) => return ApiError::new(Kind::InvalidInput, error.body_text()).into_response(),
    };
    let snapshot = seat.serving.catalog.load();
    match snapshot.stable(Some(&model)) {
        Ok(served) => {
            let mut body = shown(served);
            body["name"] = json!(served.model);
            body["ready"] = json!(true);
            Answered::by(served.clone(), json_answer(StatusCode::OK, &body)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// One model as `OpenAI` has it; it was created when its version began to serve.
fn shown(served: &Served) -> Value {
    let created = served.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({"id": served.model, "object": "model", "created": created, "owned_by": "perch"})
}
