//! From the outputs of a run to the answers of its jobs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, InferError};
use super::job::{Job, Text};
use crate::backend::RunError;
use crate::tensor::{Column, Data, Shape, Tensor};
use crate::text::{TextError, TextModel, Want};

/// Gives `each` job what is its own. A single job with tensors takes whatever the run gave.
pub(super) fn scatter(
    jobs: Vec<Job>,
    columns: &Arc<[Column]>,
    (began, executed): (Instant, Duration),
    model: Option<&TextModel>,
    mut each: impl FnMut(Job, Result<Answer, InferError>),
) {
    let alone = jobs.len() == 1;
    let mut start = 0;
    for job in jobs {
        let rows = if alone { 0..columns.first().map_or(0, Column::rows) } else { start..start + job.rows };
        let queued = began.saturating_duration_since(job.arrived);
        let result = match (job.text(), model) {
            (Some(text), Some(model)) => finished(model, text, columns, start)
                .map(|column| {
                    let rows = 0..column.rows();
                    Answer { columns: Arc::new([column]), rows, queued, executed }
                })
                .map_err(|error| RunError::from(error).into()),
            _ => Ok(Answer { columns: columns.clone(), rows, queued, executed }),
        };
        start += job.rows;
        each(job, result);
    }
}

/// What is wanted of a text, from row `row` of a run: `[1, dimensions]`, `[tokens, dimensions]` or `[1, labels]`.
pub(crate) fn finished(model: &TextModel, text: &Text, columns: &[Column], row: usize) -> Result<Column, TextError> {
    let one = |values: Vec<f32>| (1, values);
    let (rows, values) = match text.want {
        Want::Embedding(finish) => one(model.embedding(columns, row, &text.sequence, finish)?),
        Want::Scores { raw } => one(model.scores(columns, row, raw)?),
        Want::Tokens => {
            let (values, _) = model.token_embeddings(columns, row, &text.sequence)?;
            (text.sequence.len(), values.into_owned())
        }
    };
    let shape = Shape::from_slice(&[rows, values.len() / rows.max(1)]);
    let tensor = Tensor::new(shape, Data::F32(values)).map_err(|error| TextError::Output(error.to_string()))?;
    Ok(Column::Tensor(tensor))
}

/// Each job, with why there are no outputs.
pub(super) fn fail(jobs: Vec<Job>, error: RunError) -> Vec<(Job, Result<Answer, InferError>)> {
    let error = InferError::from(error);
    jobs.into_iter().map(|job| (job, Err(error.clone()))).collect()
}

impl From<RunError> for InferError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::InvalidInput(message) => Self::InvalidInput(message),
            RunError::InvalidOutput(message) => Self::InvalidOutput(message),
            RunError::Failed(message) => Self::Failed(message),
            RunError::Terminated => Self::Timeout,
        }
    }
}
