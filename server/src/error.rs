//! What a request of our own endpoints can fail with: one place from the reason to the status, code and log line.

use std::time::Duration;

use http::StatusCode;
use perch_models::json::BodyError;
use perch_models::run::InferError;

/// The kind of a failure: it decides status and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request's content is wrong.
    InvalidInput,
    /// /admin was asked without its token.
    Unauthorized,
    /// /admin was asked by a page of another site.
    Forbidden,
    /// No such model.
    ModelNotFound,
    /// No such path.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The body is larger than `server.maxBody`.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTimeout,
    /// More work than may wait.
    Overloaded,
    /// The model failed on this request.
    ModelFailed,
    /// A fault of ours.
    Internal,
    /// The model has no version loaded, or the server is not up yet.
    NotReady,
    /// No answer before the deadline.
    Timeout,
}

impl Kind {
    /// Status and code on the wire.
    #[must_use]
    pub const fn wire(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            Self::ModelFailed => (StatusCode::INTERNAL_SERVER_ERROR, "model_failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        }
    }
}

/// A failed request. The message goes to the client; what only the operator may know goes to the log where it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of failure.
    pub kind: Kind,
    /// What the client is told.
    pub message: String,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A failure without a time to retry.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// Too much work; try again after `retry_after`.
    #[must_use]
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { kind: Kind::Overloaded, message: message.into(), retry_after: Some(retry_after) }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::new(Kind::InvalidInput, error.to_string())
    }
}

impl From<InferError> for ApiError {
    fn from(error: InferError) -> Self {
        let message = error.to_string();
        match error {
            InferError::InvalidInput(_) => Self::new(Kind::InvalidInput, message),
            // What waits now is worked off by then.
            InferError::Overloaded { waiting_ms } => Self::overloaded(message, Duration::from_millis(waiting_ms)),
            InferError::Timeout => Self::new(Kind::Timeout, message),
            InferError::Failed(_) => Self::new(Kind::ModelFailed, message),
            InferError::Unloaded => Self::new(Kind::NotReady, message),
        }
    }
}
