//! What is encoded, how, and what comes of it.

use tokenizers::Encoding;

use super::config::Direction;
use super::error::TextError;

/// What is encoded into one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'t> {
    /// One text.
    Text(&'t str),
    /// Two texts that are looked at together: a query and what may answer it.
    Pair(&'t str, &'t str),
    /// Tokens, special ones among them: taken as they are. With a prompt they are turned back into text.
    Ids(&'t [u32]),
}

/// How a text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions<'o> {
    /// Adds the model's special tokens.
    pub special: bool,
    /// Cuts what is too long; else that is an error.
    pub truncate: bool,
    /// Which end is cut off; none: the model's own choice.
    pub direction: Option<Direction>,
    /// The prompt to put before the text, by name; none: the model's default prompt, if it has one.
    pub prompt: Option<&'o str>,
    /// The most tokens, if those should be less than the model takes.
    pub max_tokens: Option<usize>,
}

impl Default for EncodeOptions<'_> {
    fn default() -> Self {
        Self { special: true, truncate: false, direction: None, prompt: None, max_tokens: None }
    }
}

/// One row's tokens, not padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The tokens. There is at least one.
    pub ids: Vec<u32>,
    /// Which text each token belongs to; empty where all belong to the first.
    pub type_ids: Vec<u32>,
    /// How many tokens at the beginning are a prompt that is not pooled.
    pub skip: usize,
}

impl Sequence {
    /// Number of tokens, special ones among them: what a row costs, and what clients are told as usage.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Never true of what was encoded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// What was encoded, of which the first `skip` tokens are not pooled.
    ///
    /// # Errors
    /// When there is no token.
    pub(super) fn of(encoding: &Encoding, skip: usize) -> Result<Self, TextError> {
        Self::new(encoding.get_ids().to_vec(), encoding.get_type_ids(), skip)
    }

    pub(super) fn new(ids: Vec<u32>, type_ids: &[u32], skip: usize) -> Result<Self, TextError> {
        if ids.is_empty() {
            return Err(TextError::Empty);
        }
        let type_ids = if type_ids.iter().any(|id| *id != 0) { type_ids.to_vec() } else { Vec::new() };
        Ok(Self { ids, type_ids, skip })
    }
}
