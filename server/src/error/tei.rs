//! Failures as text-embeddings-inference names them. It has six types; status codes say what those cannot.

use http::StatusCode;

use super::Kind;

impl Kind {
    /// Status and `error_type`.
    #[must_use]
    pub const fn tei(self) -> (StatusCode, &'static str) {
        let status = self.wire().0;
        match self {
            Self::InvalidInput => (StatusCode::UNPROCESSABLE_ENTITY, "Validation"),
            Self::Tokenizer => (StatusCode::UNPROCESSABLE_ENTITY, "Tokenizer"),
            Self::EmptyInput => (status, "Empty"),
            Self::Overloaded => (status, "Overloaded"),
            Self::ModelFailed => (StatusCode::FAILED_DEPENDENCY, "Backend"),
            Self::Internal | Self::Timeout => (status, "Backend"),
            Self::NotReady | Self::FallbackExhausted | Self::StoreUnavailable => (status, "Unhealthy"),
            Self::Unauthorized
            | Self::Forbidden
            | Self::ModelNotFound
            | Self::NotText
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::TooManyInputs
            | Self::BodyTimeout
            | Self::StaleGeneration
            | Self::Refused => (status, "Validation"),
        }
    }
}
