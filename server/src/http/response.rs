//! Answers that carry what the outer layers need.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::catalog::Served;
use crate::error::{ApiError, ErrorShape};

/// Names the model, version and track that answered.
pub const SERVED_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-perch-model"),
    HeaderName::from_static("x-perch-version"),
    HeaderName::from_static("x-perch-track"),
];

/// Why stable has answered in the canary's place.
pub const FALLBACK: HeaderName = HeaderName::from_static("x-perch-fallback");

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
    /// The protocol of the failure, where it is not that of the path.
    pub shape: Option<ErrorShape>,
}

/// The same, on its way through the router.
#[derive(Clone)]
struct Carried {
    served: Option<Arc<Served>>,
    error: Option<ApiError>,
    shape: Option<ErrorShape>,
}

impl Answered {
    /// An answer of `served`.
    #[must_use]
    pub const fn by(served: Arc<Served>, response: Response) -> Self {
        Self { response, served: Some(served), error: None, shape: None }
    }

    /// A failure, counted for `served` where a version was chosen.
    #[must_use]
    pub fn failed(error: ApiError, served: Option<Arc<Served>>) -> Self {
        Self { response: Response::new(Body::empty()), served, error: Some(error), shape: None }
    }

    /// Speaks this protocol if it fails, whatever the path is.
    #[must_use]
    pub const fn shaped(mut self, shape: ErrorShape) -> Self {
        self.shape = Some(shape);
        self
    }
}

/// From the router, whose handlers leave what is not part of the answer in the extensions.
impl From<Response> for Answered {
    fn from(mut response: Response) -> Self {
        match response.extensions_mut().remove::<Carried>() {
            Some(Carried { served, error, shape }) => Self { response, served, error, shape },
            None => Self { response, served: None, error: None, shape: None },
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Self { mut response, served, error, shape } = self;
        if let Some(error) = &error {
            // For listeners without the outer layer. It sets the status again, by the protocol.
            *response.status_mut() = error.kind.wire().0;
        }
        response.extensions_mut().insert(Carried { served, error, shape });
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        Answered::failed(self, None).into_response()
    }
}
