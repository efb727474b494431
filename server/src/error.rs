//! What a request can fail with: one place from the reason to the status, code and log line; for our own endpoints here,
//! for other protocols' in `tei` and `openai`. Which of them a path speaks is [`ErrorShape`].

mod openai;
mod shape;
mod tei;

use std::time::Duration;

use http::StatusCode;
use perch_models::json::BodyError;
use perch_models::run::InferError;
use perch_models::text::TextError;

pub use shape::ErrorShape;

/// The kind of a failure: it decides status and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request's content is wrong.
    InvalidInput,
    /// There is nothing to work on: no text, or an empty one.
    EmptyInput,
    /// More texts than one request may have.
    TooManyInputs,
    /// The tokenizer cannot split a text.
    Tokenizer,
    /// /admin was asked without its token.
    Unauthorized,
    /// /admin was asked by a page of another site.
    Forbidden,
    /// No such model.
    ModelNotFound,
    /// The model is there, and takes no texts.
    NotText,
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
    /// The canary failed, and too many have fallen back to stable already.
    FallbackExhausted,
    /// A rollout has changed since the caller looked.
    StaleGeneration,
    /// A command means nothing in the rollout's present state.
    Refused,
    /// Where rollouts are stored cannot be reached.
    StoreUnavailable,
    /// No answer before the deadline.
    Timeout,
}

impl Kind {
    /// Whether the request's content is to blame.
    #[must_use]
    pub const fn is_of_input(self) -> bool {
        matches!(self, Self::InvalidInput | Self::EmptyInput | Self::TooManyInputs | Self::Tokenizer | Self::NotText)
    }

    /// Status and code on the wire.
    #[must_use]
    pub const fn wire(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidInput | Self::EmptyInput | Self::Tokenizer => (StatusCode::BAD_REQUEST, "invalid_input"),
            Self::TooManyInputs => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_inputs"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::NotText => (StatusCode::NOT_FOUND, "not_a_text_model"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            Self::ModelFailed => (StatusCode::INTERNAL_SERVER_ERROR, "model_failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::FallbackExhausted => (StatusCode::SERVICE_UNAVAILABLE, "fallback_exhausted"),
            Self::StaleGeneration => (StatusCode::CONFLICT, "stale_generation"),
            Self::Refused => (StatusCode::CONFLICT, "refused"),
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
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

    /// Says what it is about, before its message.
    #[must_use]
    pub fn of(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The caller may try again after `delay`.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
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
            InferError::Failed(_) | InferError::InvalidOutput(_) => Self::new(Kind::ModelFailed, message),
            InferError::Unloaded => Self::new(Kind::NotReady, message),
        }
    }
}

impl From<TextError> for ApiError {
    fn from(error: TextError) -> Self {
        let kind = match error {
            TextError::Empty => Kind::EmptyInput,
            TextError::Tokenizer(_) => Kind::Tokenizer,
            TextError::Output(_) => Kind::ModelFailed,
            TextError::TooLong { .. }
            | TextError::TooManyCharacters { .. }
            | TextError::UnknownPrompt { .. }
            | TextError::PromptWithPair
            | TextError::UnknownToken { .. }
            | TextError::Dimensions { .. }
            | TextError::Task { .. } => Kind::InvalidInput,
        };
        Self::new(kind, error.to_string())
    }
}
