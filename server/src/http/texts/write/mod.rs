//! Answers to texts, written into one buffer.

mod embeddings;
mod scores;
mod similarity;
mod tokens;

pub use embeddings::{embeddings, openai, token_embeddings};
pub use scores::{labels, ranks};
pub use similarity::similarity;
pub use tokens::{decoded, tokens};

use perch_models::run::Answer;
use perch_models::tensor::{Column, Data};

use crate::error::{ApiError, Kind};

/// The floats of one text, and their shape.
///
/// # Errors
/// When there are none.
pub fn floats(answer: &Answer) -> Result<(&[f32], &[usize]), ApiError> {
    if let Some(Column::Tensor(tensor)) = answer.columns.first()
        && let Data::F32(values) = tensor.data()
    {
        return Ok((values, tensor.shape()));
    }
    Err(ApiError::new(Kind::ModelFailed, "the model gave no floats for a text"))
}

/// How many floats there are for all texts.
#[must_use]
pub fn count(answers: &[Answer]) -> usize {
    answers.iter().filter_map(|answer| floats(answer).ok()).map(|(values, _)| values.len()).sum()
}

/// Writes `items` with commas between them, in brackets.
fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::tensor::Tensor;
    use std::time::Duration;

    /// The answer to one text.
    pub(super) fn answer(shape: &[usize], values: &[f32]) -> Answer {
        let tensor = Tensor::new(shape.into(), Data::F32(values.to_vec())).expect("fits");
        let rows = 0..tensor.rows();
        let columns = [Column::Tensor(tensor)].into();
        Answer { columns, rows, queued: Duration::ZERO, executed: Duration::ZERO }
    }

    #[test]
    fn an_answer_without_floats_is_the_models_fault() {
        let tensor = Tensor::new([1].as_slice().into(), Data::I64(vec![1])).expect("fits");
        let columns = [Column::Tensor(tensor)].into();
        let answer = Answer { columns, rows: 0..1, queued: Duration::ZERO, executed: Duration::ZERO };
        assert_eq!(floats(&answer).expect_err("integers").kind, Kind::ModelFailed);
        assert_eq!(count(&[answer, self::answer(&[2, 2], &[1.0; 4])]), 4);
    }
}
