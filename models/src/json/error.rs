//! What can be wrong with a body, worded for the client.

use thiserror::Error;

/// A request body that cannot be served; always the client's to mend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Not JSON.
    #[error("malformed JSON at line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected there.
        message: String,
    },
    /// JSON, but not what the model or the protocol takes.
    #[error("{0}")]
    Invalid(String),
}

impl BodyError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}
