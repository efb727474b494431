//! Failures as `OpenAI` names them. Its clients choose the exception by the status; `code` is our own.

use http::StatusCode;

use super::Kind;

impl Kind {
    /// Status and `type`.
    #[must_use]
    pub const fn openai(self) -> (StatusCode, &'static str) {
        let status = self.wire().0;
        match self {
            Self::Unauthorized => (status, "authentication_error"),
            Self::Forbidden => (status, "permission_error"),
            Self::Overloaded => (status, "rate_limit_error"),
            Self::ModelFailed
            | Self::Internal
            | Self::NotReady
            | Self::FallbackExhausted
            | Self::StoreUnavailable
            | Self::Timeout => (status, "server_error"),
            Self::InvalidInput
            | Self::EmptyInput
            | Self::TooManyInputs
            | Self::Tokenizer
            | Self::ModelNotFound
            | Self::NotText
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::StaleGeneration
            | Self::Refused => (status, "invalid_request_error"),
        }
    }

    /// The field of the request that is to blame, where the kind alone says it.
    #[must_use]
    pub const fn openai_param(self) -> Option<&'static str> {
        match self {
            Self::ModelNotFound | Self::NotText => Some("model"),
            Self::EmptyInput | Self::TooManyInputs | Self::Tokenizer => Some("input"),
            _ => None,
        }
    }
}
