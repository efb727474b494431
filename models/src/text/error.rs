//! Why a text is not encoded, or an answer not finished.

use thiserror::Error;

use crate::backend::RunError;

/// What is wrong with a text, its options, or the model's answer to it. The first ones are worded as
/// text-embeddings-inference words them, since its clients read them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// There is no text, or nothing is left of it.
    #[error("`inputs` cannot be empty")]
    Empty,
    /// More tokens than the model takes, and they may not be cut.
    #[error("`inputs` must have less than {limit} tokens. Given: {given}")]
    TooLong {
        /// Tokens that the model takes.
        limit: usize,
        /// Tokens that came.
        given: usize,
    },
    /// So many characters that they are not even split into tokens.
    #[error("`inputs` must have less than {limit} characters. Given: {given}")]
    TooManyCharacters {
        /// Characters that are looked at.
        limit: usize,
        /// Characters that came.
        given: usize,
    },
    /// The model has no such prompt.
    #[error("unknown prompt \"{name}\": expected {known}")]
    UnknownPrompt {
        /// The name that came.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A prompt belongs to one text.
    #[error("`prompt_name` cannot be set with dual inputs")]
    PromptWithPair,
    /// A token that the model does not have.
    #[error("token {id} is not in the vocabulary: expected ids below {vocabulary}")]
    UnknownToken {
        /// What came.
        id: u32,
        /// The number of tokens.
        vocabulary: u32,
    },
    /// More dimensions than the model has, or none.
    #[error("`dimensions` must be between 1 and {has}. Given: {asked}")]
    Dimensions {
        /// What was asked for.
        asked: usize,
        /// What the model has.
        has: usize,
    },
    /// The model does something else.
    #[error("the model gives {gives}, not {asked}")]
    Task {
        /// What it gives.
        gives: &'static str,
        /// What was asked of it.
        asked: &'static str,
    },
    /// The tokenizer cannot split this text.
    #[error("tokenizer error: {0}")]
    Tokenizer(String),
    /// The model answered in a shape that its files do not declare.
    #[error("{0}")]
    Output(String),
}

impl TextError {
    /// True when the request can be put right; else it is the model or its files.
    #[must_use]
    pub const fn is_invalid_input(&self) -> bool {
        !matches!(self, Self::Output(_))
    }
}

impl From<tokenizers::Error> for TextError {
    fn from(error: tokenizers::Error) -> Self {
        Self::Tokenizer(error.to_string())
    }
}

impl From<TextError> for RunError {
    fn from(error: TextError) -> Self {
        let message = error.to_string();
        if error.is_invalid_input() { Self::InvalidInput(message) } else { Self::InvalidOutput(message) }
    }
}
