//! What a client asks of texts, before any version is chosen: it is made of what came in, and encoded for the version
//! that answers.

use std::sync::Arc;

use super::config::Direction;
use super::output::Finish;
use super::sequence::{EncodeOptions, Input};

/// A text, as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextInput {
    /// One text.
    Text(String),
    /// Two texts that are looked at together. The first is often the same for many, and as large as a body may be.
    Pair(Arc<str>, String),
    /// Tokens.
    Ids(Vec<u32>),
}

impl TextInput {
    /// As it is encoded.
    #[must_use]
    pub fn borrowed(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Pair(first, second) => Input::Pair(first, second),
            Self::Ids(ids) => Input::Ids(ids),
        }
    }

    /// Its size: bytes of text, or of tokens.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Pair(first, second) => first.len() + second.len(),
            Self::Ids(ids) => size_of::<u32>() * ids.len(),
        }
    }
}

/// How texts are encoded: [`EncodeOptions`] of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Cuts what is too long; else that is an error.
    pub truncate: bool,
    /// Which end is cut off; none: the model's own choice.
    pub direction: Option<Direction>,
    /// The prompt to put before the text, by name; none: the model's default prompt, if it has one.
    pub prompt: Option<String>,
}

impl TextOptions {
    /// As texts are encoded with.
    #[must_use]
    pub fn borrowed(&self) -> EncodeOptions<'_> {
        let Self { truncate, direction, prompt } = self;
        let (truncate, direction, prompt) = (*truncate, *direction, prompt.as_deref());
        EncodeOptions { truncate, direction, prompt, ..EncodeOptions::default() }
    }
}

/// What is wanted of each text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its embedding: `[dimensions]`.
    Embedding(Finish),
    /// The embedding of each of its tokens: `[tokens, dimensions]`.
    Tokens,
    /// Its scores: `[labels]`.
    Scores {
        /// As logits.
        raw: bool,
    },
}
