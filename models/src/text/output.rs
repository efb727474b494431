//! From the outputs of a run to the answer for one row.

use std::borrow::Cow;

use crate::tensor::{Column, Tensor};

use super::config::TextConfig;
use super::error::TextError;
use super::graph::{Graph, Output};
use super::pool::pool;
use super::sequence::Sequence;
use super::vector::{Activation, floats, normalise, shorten};

/// What an embedding is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// Scales it to norm 1. What a request does not say is `true` in the protocols, whatever the model itself does.
    pub normalise: bool,
    /// Keeps only the first dimensions; for models that were trained for it.
    pub dimensions: Option<usize>,
}

impl Default for Finish {
    fn default() -> Self {
        Self { normalise: true, dimensions: None }
    }
}

/// Turns columns into answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finisher<'m> {
    pub(super) graph: &'m Graph,
    pub(super) config: &'m TextConfig,
}

impl Finisher<'_> {
    /// The embedding of `row`, which was made from `sequence`.
    pub(super) fn embedding(
        self,
        columns: &[Column],
        row: usize,
        sequence: &Sequence,
        finish: Finish,
    ) -> Result<Vec<f32>, TextError> {
        let mut vector = match self.graph.output {
            Output::Pooled { column, .. } => rank_2(columns, column, row)?.into_owned(),
            Output::Tokens { column } => {
                let (tokens, dim) = rank_3(columns, column, row, sequence.len())?;
                let mut vector = Vec::with_capacity(dim * self.config.pooling.len());
                pool(&tokens, dim, sequence.skip, &self.config.pooling, &mut vector);
                vector
            }
            Output::Scores { .. } => return Err(self.task("embeddings")),
        };
        // The model's own step comes before dimensions go; to what is scaled again it makes no difference.
        if self.config.normalise && !finish.normalise {
            normalise(&mut vector);
        }
        if let Some(dimensions) = finish.dimensions {
            shorten(&mut vector, dimensions)?;
        }
        if finish.normalise {
            normalise(&mut vector);
        }
        Ok(vector)
    }

    /// The vectors of a row's tokens, without padding, row-major, and the dimensions of one.
    pub(super) fn tokens<'c>(
        self,
        columns: &'c [Column],
        row: usize,
        sequence: &Sequence,
    ) -> Result<(Cow<'c, [f32]>, usize), TextError> {
        match self.graph.output {
            Output::Tokens { column } | Output::Pooled { tokens: Some(column), .. } => {
                rank_3(columns, column, row, sequence.len())
            }
            Output::Pooled { tokens: None, .. } | Output::Scores { .. } => Err(self.task("embeddings of tokens")),
        }
    }

    /// The scores of a row, in the order of the labels; `raw` are the logits themselves.
    pub(super) fn scores(self, columns: &[Column], row: usize, raw: bool) -> Result<Vec<f32>, TextError> {
        let Output::Scores { column } = self.graph.output else { return Err(self.task("scores")) };
        let mut scores = rank_2(columns, column, row)?.into_owned();
        if scores.len() != self.config.labels.len() {
            let (expected, got) = (self.config.labels.len(), scores.len());
            return Err(TextError::Output(format!("the model gave {got} scores for {expected} labels")));
        }
        let activation = if raw { Activation::Identity } else { self.config.activation };
        activation.apply(&mut scores);
        Ok(scores)
    }

    const fn task(self, asked: &'static str) -> TextError {
        let gives = match self.graph.output {
            Output::Pooled { .. } => "one embedding a text",
            Output::Tokens { .. } => "embeddings",
            Output::Scores { .. } => "scores",
        };
        TextError::Task { gives, asked }
    }
}

fn tensor(columns: &[Column], column: usize) -> Result<&Tensor, TextError> {
    match columns.get(column) {
        Some(Column::Tensor(tensor)) => Ok(tensor),
        _ => Err(TextError::Output(format!("the model gave no tensor as output {column}"))),
    }
}

/// Row `row` of `[rows, dim]`, or of `[rows]`.
fn rank_2(columns: &[Column], column: usize, row: usize) -> Result<Cow<'_, [f32]>, TextError> {
    let tensor = tensor(columns, column)?;
    let width = tensor.row_len();
    let values = if tensor.shape().len() <= 2 { floats(tensor.data(), row * width, (row + 1) * width) } else { None };
    values.ok_or_else(|| unexpected(tensor, &format!("floats [more than {row}, dimensions]")))
}

/// The first `length` tokens of row `row` of `[rows, padded length, dim]`, and `dim`.
fn rank_3(columns: &[Column], column: usize, row: usize, length: usize) -> Result<(Cow<'_, [f32]>, usize), TextError> {
    let tensor = tensor(columns, column)?;
    let from = row * tensor.row_len();
    let values = match *tensor.shape() {
        [_, padded, dim] if padded >= length => floats(tensor.data(), from, from + length * dim).map(|v| (v, dim)),
        _ => None,
    };
    values.ok_or_else(|| unexpected(tensor, &format!("floats [more than {row}, at least {length}, dimensions]")))
}

fn unexpected(tensor: &Tensor, expected: &str) -> TextError {
    TextError::Output(format!("the model gave {}, expected {expected}", tensor.describe()))
}
