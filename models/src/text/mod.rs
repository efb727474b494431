//! Models that take texts: from a text to a row of tokens, from rows to a graph's inputs, and from its outputs to
//! embeddings or scores.
//!
//! Everything here is a pure function of its arguments, apart from [`TextModel::load`], which reads a folder. What a
//! row costs depends on its length, so whoever composes batches looks at [`Sequence::len`] first.

pub mod ask;
pub mod config;
pub mod detail;
pub mod error;
mod file;
mod files;
mod graph;
mod inputs;
mod labels;
mod letters;
mod limits;
mod modules;
mod output;
mod plain;
pub mod pool;
mod prompt;
mod row;
mod samples;
pub mod sequence;
mod special;
#[cfg(test)]
mod tests;
pub mod tokenize;
mod truncate;
pub mod vector;

use std::borrow::Cow;
use std::path::Path;

pub use ask::{TextInput, TextOptions, Want};
pub use config::{Direction, Task, TextConfig};
pub use detail::Token;
pub use error::TextError;
pub use output::Finish;
pub use sequence::{EncodeOptions, Input, Sequence};
pub use tokenize::TextTokenizer;

use crate::backend::LoadError;
use crate::layout::TOKENIZER;
use crate::signature::Signature;
use crate::tensor::{Column, Tensor};

use files::Files;
use graph::Graph;
use output::Finisher;

/// What lies between texts and a graph, for one version of a model.
#[derive(Debug)]
pub struct TextModel {
    config: TextConfig,
    graph: Graph,
    tokenizer: TextTokenizer,
}

impl TextModel {
    /// Reads what is in `dir` beside a graph of this signature; none without a `tokenizer.json`.
    ///
    /// # Errors
    /// When a file is broken, the graph is not one of a text model, or the model needs what is not served.
    pub fn load(dir: &Path, signature: &Signature) -> Result<Option<Self>, LoadError> {
        if !dir.join(TOKENIZER).is_file() {
            return Ok(None);
        }
        let files = Files::read(dir)?;
        let (tokenizer, pad_id) = special::open(dir, &files)?;
        let (config, graph) = TextConfig::new(dir, &files, signature, pad_id)?;
        let tokenizer = TextTokenizer::new(tokenizer, &config, &files)?;
        Ok(Some(Self { config, graph, tokenizer }))
    }

    /// What the folder says.
    #[must_use]
    pub const fn config(&self) -> &TextConfig {
        &self.config
    }

    /// For looking at tokens, and turning them back into text.
    #[must_use]
    pub const fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Whether rows of different lengths may share a run: only where the graph takes a mask. Else they may only where
    /// their lengths are the same.
    #[must_use]
    pub fn may_pad(&self) -> bool {
        self.graph.has_mask()
    }

    /// The only length that the graph takes, if there is but one: then every row costs the same.
    #[must_use]
    pub const fn fixed_length(&self) -> Option<usize> {
        self.graph.fixed_length
    }

    /// Encodes one input: [`TextTokenizer::encode`].
    ///
    /// # Errors
    /// When it is empty, too long, or its options do not fit the model.
    pub fn encode(&self, input: Input<'_>, options: &EncodeOptions<'_>) -> Result<Sequence, TextError> {
        self.tokenizer.encode(input, options)
    }

    /// The graph's inputs for `rows`, in the signature's order, each `[rows, length]` and filled up on the right.
    /// `length` is `pad_to`, the longest row, or the [only length](Self::fixed_length), whichever is more.
    #[must_use]
    pub fn inputs(&self, rows: &[&Sequence], pad_to: usize) -> Vec<Tensor> {
        inputs::tensors(&self.graph, &self.config, rows, pad_to)
    }

    /// The embedding of row `row` of a run's outputs, which was made from `sequence`.
    ///
    /// # Errors
    /// When the model gives none, or not so many dimensions, or an output of another shape than its files say.
    pub fn embedding(
        &self,
        columns: &[Column],
        row: usize,
        sequence: &Sequence,
        finish: Finish,
    ) -> Result<Vec<f32>, TextError> {
        self.finisher().embedding(columns, row, sequence, finish)
    }

    /// The vectors of the tokens of row `row`, without padding: `[tokens, dimensions]`, row-major, and the dimensions.
    ///
    /// # Errors
    /// When the model does not give them, or an output of another shape than its files say.
    pub fn token_embeddings<'c>(
        &self,
        columns: &'c [Column],
        row: usize,
        sequence: &Sequence,
    ) -> Result<(Cow<'c, [f32]>, usize), TextError> {
        self.finisher().tokens(columns, row, sequence)
    }

    /// The scores of row `row`, in the order of [`TextConfig::labels`]; `raw` are the logits themselves.
    ///
    /// # Errors
    /// When the model gives none, or an output of another shape than its files say.
    pub fn scores(&self, columns: &[Column], row: usize, raw: bool) -> Result<Vec<f32>, TextError> {
        self.finisher().scores(columns, row, raw)
    }

    /// Refuses dimensions that the model does not have, before it is run.
    ///
    /// # Errors
    /// When there are fewer, or none is asked for.
    pub fn check_dimensions(&self, asked: usize) -> Result<(), TextError> {
        // Where no file and no shape says how many there are, the answer will.
        vector::check_dimensions(asked, self.config.dimensions.unwrap_or(usize::MAX))
    }

    const fn finisher(&self) -> Finisher<'_> {
        Finisher { graph: &self.graph, config: &self.config }
    }
}
