//! Answers that carry what the outer layers need.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use perch_models::json::write_string;
use serde_json::Value;

use crate::catalog::Served;
use crate::error::ApiError;

/// Names the model, version and track that answered.
pub const SERVED_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-perch-model"),
    HeaderName::from_static("x-perch-version"),
    HeaderName::from_static("x-perch-track"),
];

/// `application/json`.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A small answer of ours, ended by a line's end for people with curl.
#[must_use]
pub fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, JSON)], format!("{body}\n")).into_response()
}

/// What a handler hands to the outer layer: the answer, whom to count it for, and what went wrong. Only that layer knows
/// the request id that an error's body carries.
pub struct Answered {
    /// The answer; without a body when it is a failure.
    pub response: Response,
    /// The version that answered.
    pub served: Option<Arc<Served>>,
    /// The failure.
    pub error: Option<ApiError>,
}

impl Answered {
    /// A failure, counted for `served` where a version was chosen.
    #[must_use]
    pub fn failed(error: ApiError, served: Option<Arc<Served>>) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = error.kind.wire().0;
        Self { response, served, error: Some(error) }
    }
}

/// From the router, whose handlers leave a failure in the extensions.
impl From<Response> for Answered {
    fn from(mut response: Response) -> Self {
        let error = response.extensions_mut().remove::<ApiError>();
        Self { response, served: None, error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.kind.wire().0;
        response.extensions_mut().insert(self);
        response
    }
}

/// The body of a failure: `{"error":{"code","message","request_id"}}`.
pub fn render_error(response: &mut Response, error: &ApiError, request_id: &HeaderValue) {
    let mut body = Vec::with_capacity(128 + error.message.len());
    body.extend_from_slice(b"{\"error\":{\"code\":");
    write_string(&mut body, error.kind.wire().1);
    body.extend_from_slice(b",\"message\":");
    write_string(&mut body, &error.message);
    body.extend_from_slice(b",\"request_id\":");
    write_string(&mut body, request_id.to_str().unwrap_or_default());
    body.extend_from_slice(b"}}\n");
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    // The router has written down the length of the empty body.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(after) = error.retry_after {
        // Whole seconds, and never "at once".
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}
