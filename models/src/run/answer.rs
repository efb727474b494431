//! What comes of a request, and what is reported of a run.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::flight::Part;
use crate::tensor::Column;

/// Why a request got no outputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InferError {
    /// The inputs do not fit the model in a way that its signature does not show.
    #[error("{0}")]
    InvalidInput(String),
    /// More work is waiting than the queue may hold.
    #[error("the model's queue is full: {waiting_ms} ms of work are waiting")]
    Overloaded {
        /// Estimated time of what is waiting.
        waiting_ms: u64,
    },
    /// The deadline passed, waiting or running.
    #[error("the model gave no answer before the deadline")]
    Timeout,
    /// The model failed on this input.
    #[error("{0}")]
    Failed(String),
    /// The model answered in a shape that it does not declare.
    #[error("{0}")]
    InvalidOutput(String),
    /// The version was dropped while the request waited.
    #[error("the model version was unloaded")]
    Unloaded,
}

/// The outputs of one request: some rows of a batch's outputs, which its neighbours share.
#[derive(Debug, Clone)]
pub struct Answer {
    /// All outputs of the batch, in the signature's order.
    pub columns: Arc<[Column]>,
    /// This request's rows.
    pub rows: Range<usize>,
    /// From submission to the start of the run.
    pub queued: Duration,
    /// The run.
    pub executed: Duration,
}

impl Answer {
    /// True when no output holds a NaN or an infinity in this request's rows.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.columns.iter().all(|column| column.is_finite(self.rows.clone()))
    }

    /// The same by itself, without the rows of its neighbours and without its times: to be kept.
    ///
    /// Only rows that stack have neighbours. Where outputs differ in their numbers of rows, they are all of one request
    /// and stay as they are.
    #[must_use]
    pub fn detached(&self) -> Self {
        let of_batch = self.columns.first().map_or(0, Column::rows);
        let stacked = self.columns.iter().all(|column| column.rows() == of_batch);
        let (columns, rows) = if stacked && self.rows.end <= of_batch && self.rows.len() < of_batch {
            (self.columns.iter().map(|column| column.slice(self.rows.clone())).collect(), 0..self.rows.len())
        } else {
            (self.columns.clone(), self.rows.clone())
        };
        Self { columns, rows, queued: Duration::ZERO, executed: Duration::ZERO }
    }

    /// How much memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.columns.iter().map(Column::bytes).sum::<usize>()
    }

    /// How many of its rows hold a NaN or an infinity.
    #[must_use]
    pub fn unusable_rows(&self) -> usize {
        let usable = |row: usize| self.columns.iter().all(|column| column.is_finite(row..row + 1));
        self.rows.clone().filter(|row| !usable(*row)).count()
    }
}

/// How one execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With outputs.
    Ok,
    /// With an error of the model.
    Failed,
    /// With an error that the inputs are to blame for.
    InvalidInput,
    /// By the watchdog.
    Terminated,
}

/// One run of a batch, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Rows in the batch.
    pub rows: usize,
    /// Requests in the batch.
    pub requests: usize,
    /// How long it ran.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Of a run of texts.
    pub tokens: Option<Tokens>,
}

/// The tokens of a run of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Those of the texts.
    pub real: usize,
    /// The same with padding: what was computed.
    pub padded: usize,
}

/// Is told of every execution, on the thread that ran it.
pub trait Observer: Send + Sync {
    /// One batch was run.
    fn executed(&self, execution: &Execution);
}

/// What comes back for one request.
pub struct Reply {
    /// Its outputs, or why there are none.
    pub result: Result<Answer, InferError>,
    /// Its part of the execution, where that is followed and took place.
    pub part: Option<Part>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Data, Shape, Tensor};

    fn answer(shapes: &[&[usize]], rows: Range<usize>) -> Answer {
        let column = |shape: &&[usize]| {
            let values = (0_u8..).map(f32::from).take(shape.iter().product()).collect();
            Column::Tensor(Tensor::new(Shape::from_slice(shape), Data::F32(values)).expect("it fits"))
        };
        let second = Duration::from_secs(1);
        Answer { columns: shapes.iter().map(column).collect(), rows, queued: second, executed: second }
    }

    #[test]
    fn a_part_is_kept_without_its_neighbours() {
        let kept = answer(&[&[4, 2], &[4]], 1..3).detached();
        assert_eq!((kept.rows, kept.queued, kept.executed), (0..2, Duration::ZERO, Duration::ZERO));
        let values: Vec<&Data> = kept.columns.iter().map(|column| tensor(column).data()).collect();
        assert_eq!(values, [&Data::F32(vec![2.0, 3.0, 4.0, 5.0]), &Data::F32(vec![1.0, 2.0])]);
    }

    #[test]
    fn outputs_that_do_not_stack_are_kept_as_they_are() {
        for (shapes, rows) in [
            (&[&[2, 3][..], &[5], &[1, 2]][..], 0..2),
            (&[&[1], &[5], &[2]], 0..1),
            (&[&[5], &[2], &[]], 0..5),
            (&[&[], &[4]], 0..1),
            (&[&[0], &[3]], 0..0),
            (&[&[3], &[3]], 0..3),
            (&[], 0..0),
        ] {
            let (answer, all) = (answer(shapes, rows.clone()), shapes);
            let kept = answer.detached();
            assert_eq!((kept.rows, &kept.columns), (rows, &answer.columns), "{all:?}");
        }
    }

    fn tensor(column: &Column) -> &Tensor {
        match column {
            Column::Tensor(tensor) => tensor,
            Column::Maps(_) => unreachable!("made of tensors"),
        }
    }
}
