//! The first runs of a version: does it work, what do batches cost, and may rows of several requests be stacked?
//! `texts` asks the same of a model that takes texts, `shapes` runs what is dear when it is new.

mod shapes;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, LoadError, RunError};
use crate::cost::CostCurve;
use crate::example::Example;
use crate::tensor::{Column, Data, Tensor};
use crate::watchdog::Slot;

/// Each batch size is measured this often, and the fastest run counts: noise only ever adds.
const REPEATS: usize = 5;
/// What summing in another order changes in 32-bit floats, of 1 and of the value.
pub const EXACT: f64 = 1e-4;
/// The same where products are rounded to fewer bits.
pub const ROUGH: f64 = 2e-3;
/// No further sizes are measured once this much time went by.
const BUDGET: Duration = Duration::from_millis(250);

pub use texts::TextProfile;

/// What warm-up found.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Time of a run by its rows.
    pub cost: CostCurve,
    /// True when rows do not influence each other: then requests may share a run.
    pub stacks: bool,
    /// Of a model that takes texts.
    pub texts: Option<TextProfile>,
}

/// Runs batches on one backend until `deadline`.
pub struct WarmUp<'b> {
    /// The copy to run on.
    pub backend: &'b mut dyn Backend,
    /// Its place under the watchdog.
    pub slot: Arc<Slot>,
    /// When warm-up has failed.
    pub deadline: Instant,
    /// By how much a row may differ when it is run with others: [`EXACT`] or [`ROUGH`].
    pub tolerance: f64,
}

impl WarmUp<'_> {
    /// Runs the example, then finds out what the model can do.
    ///
    /// # Errors
    /// When the model cannot run an example that came with it, or does not end.
    pub fn run(mut self, example: &Example, max_rows: usize) -> Result<Profile, LoadError> {
        match self.once(&example.inputs) {
            Ok(_) => {}
            Err(RunError::Terminated) => return Err(too_long()),
            Err(error) if example.given => return Err(LoadError::WarmUp(format!("on the input example: {error}"))),
            Err(error) => {
                // Zeros are our guess, not the user's input: a model may rightly refuse them.
                tracing::debug!(%error, "the model does not run on zeros, and has no input example");
                return Ok(Profile { cost: CostCurve::new([]), stacks: false, texts: None });
            }
        }
        let stacks = self.backend.signature().may_stack() && self.rows_are_independent(&example.inputs);
        let cost = if stacks { self.measure(&example.inputs, max_rows) } else { self.measure_one(&example.inputs) };
        Ok(Profile { cost, stacks, texts: None })
    }

    fn once(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        self.once_until(inputs, self.deadline)
    }

    fn once_until(&mut self, inputs: &[Tensor], deadline: Instant) -> Result<Vec<Column>, RunError> {
        self.slot.arm(deadline);
        let result = self.backend.run(inputs);
        if self.slot.disarm() { Err(RunError::Terminated) } else { result }
    }

    /// Runs two different rows alone and together: only when both ways give the same may requests share a run.
    fn rows_are_independent(&mut self, inputs: &[Tensor]) -> bool {
        let first: Vec<Tensor> = inputs.iter().map(|tensor| tensor.slice(0..1)).collect();
        let second: Vec<Tensor> = match inputs.first() {
            Some(tensor) if tensor.rows() > 1 => inputs.iter().map(|tensor| tensor.slice(1..2)).collect(),
            _ => first.iter().map(nudged).collect(),
        };
        let both: Result<Vec<Tensor>, _> = first.iter().zip(&second).map(|(a, b)| Tensor::stack([a, b])).collect();
        let Ok(both) = both else { return false };
        let (Ok(one), Ok(two), Ok(both)) = (self.once(&first), self.once(&second), self.once(&both)) else {
            return false;
        };
        let same = |one: &Column, both: &Column, row| same_row(one, both, row, self.tolerance);
        one.len() == both.len()
            && one.iter().zip(&two).zip(&both).all(|((one, two), both)| {
                (one.rows(), two.rows(), both.rows()) == (1, 1, 2) && same(one, both, 0) && same(two, both, 1)
            })
    }

    fn measure(&mut self, inputs: &[Tensor], max_rows: usize) -> CostCurve {
        let began = Instant::now();
        let mut points = Vec::new();
        let mut rows = 1;
        while rows <= max_rows {
            let batch: Result<Vec<Tensor>, _> = inputs.iter().map(|tensor| tiled(tensor, rows)).collect();
            let Some(time) = batch.ok().and_then(|batch| self.fastest(&batch)) else { break };
            points.push((rows, time));
            if began.elapsed() > BUDGET {
                break;
            }
            rows *= 2;
        }
        CostCurve::new(points)
    }

    fn measure_one(&mut self, inputs: &[Tensor]) -> CostCurve {
        let rows = inputs.first().map_or(1, Tensor::rows);
        CostCurve::new(self.fastest(inputs).map(|time| (rows, time)))
    }

    fn fastest(&mut self, inputs: &[Tensor]) -> Option<Duration> {
        let began = Instant::now();
        let mut best: Option<Duration> = None;
        for _ in 0..REPEATS {
            let run = Instant::now();
            self.once(inputs).ok()?;
            let time = run.elapsed();
            best = Some(best.map_or(time, |best| best.min(time)));
            if began.elapsed() > BUDGET / 4 {
                break;
            }
        }
        best
    }
}

fn too_long() -> LoadError {
    LoadError::WarmUp("the model gave no answer within the load timeout".into())
}

/// A batch of `rows` rows from the rows of `tensor`, in turn.
fn tiled(tensor: &Tensor, rows: usize) -> Result<Tensor, crate::tensor::ShapeError> {
    let parts: Vec<Tensor> = (0..rows).map(|i| i % tensor.rows().max(1)).map(|i| tensor.slice(i..i + 1)).collect();
    Tensor::stack(&parts)
}

/// Another row near this one: floats are moved a little, everything else stays.
fn nudged(tensor: &Tensor) -> Tensor {
    let data = match tensor.data() {
        Data::F32(values) => Data::F32(values.iter().map(|value| value.mul_add(1.0625, 0.03125)).collect()),
        Data::F64(values) => Data::F64(values.iter().map(|value| value.mul_add(1.0625, 0.03125)).collect()),
        other => other.clone(),
    };
    Tensor::new(tensor.shape().into(), data).unwrap_or_else(|_| tensor.clone())
}

/// Whether the only row of `one` is row `row` of `both`, within `tolerance`.
fn same_row(one: &Column, both: &Column, row: usize, tolerance: f64) -> bool {
    let close = |a: f64, b: f64| {
        let within = || (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()));
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || within()
    };
    match (one, both) {
        (Column::Tensor(one), Column::Tensor(both)) => {
            let row = both.slice(row..row + 1);
            match (one.data(), row.data()) {
                (Data::F32(a), Data::F32(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(f64::from(*a), f64::from(*b)))
                }
                (Data::F64(a), Data::F64(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b)),
                (a, b) => a == b,
            }
        }
        (Column::Maps(one), Column::Maps(both)) => match (one.first(), both.get(row)) {
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(f64::from(a.1), f64::from(b.1)))
            }
            _ => false,
        },
        _ => false,
    }
}
