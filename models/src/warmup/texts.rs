//! The first runs of a model that takes texts.

use std::time::{Duration, Instant};

use super::{Profile, WarmUp, same_row, too_long};
use crate::backend::{LoadError, RunError};
use crate::cost::CostCurve;
use crate::run::Text;
use crate::run::compose::Rules;
use crate::run::grid::{CostGrid, Point};
use crate::run::scatter::finished;
use crate::tensor::{Column, Tensor};
use crate::text::{Finish, Sequence, Task, TextModel, Want};

/// Each shape is measured this often, and the fastest run counts.
const REPEATS: u32 = 3;
/// No further shapes are measured once this much time went by. The rest is learned while serving.
const BUDGET: Duration = Duration::from_millis(1500);
/// Requests with tensors of their own are few: the cost of one is taken from texts of this many tokens.
const TENSOR_LENGTH: usize = 64;

/// The longest text that has to run by itself. Of a longer one a small device may have too little memory, as of many.
const MODERATE: usize = 512;

/// Which texts may share a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Together {
    /// None: what is beside a text changes its answer. So it is with graphs that quantise by the run.
    No,
    /// Those of one length.
    SameLength,
    /// All.
    Padded,
}

/// What warm-up found of a model that takes texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TextProfile {
    /// Time of a run by its texts and their length.
    pub grid: CostGrid,
    /// What runs may be, as far as the model allows it and the device ran it.
    pub rules: Rules,
}

impl WarmUp<'_> {
    /// Runs built-in sentences, then finds out what the model can do. `rules` are what runs may be where texts can be
    /// padded.
    ///
    /// # Errors
    /// When it cannot run them, gives what its files do not declare, or does not end.
    pub fn run_texts(mut self, model: &TextModel, rules: Rules) -> Result<Profile, LoadError> {
        let (short, long) = samples(model)?;
        let mut alone = self.answer(model, &[&short], 0)?;
        alone.extend(self.answer(model, &[&long], 0)?);
        let together = self.together(model, &rules, [&short, &long], &alone);
        let max_rows = if together == Together::No { 1 } else { rules.max_rows };
        let mut rules = Rules { max_rows, may_pad: together == Together::Padded, ..rules };
        self.shapes(model, &mut rules, &long)?;
        let grid = self.grid(model, &mut rules, &long)?;
        let rows = std::iter::successors(Some(1), |rows| Some(rows * 2)).take_while(|rows| *rows <= max_rows);
        let cost = CostCurve::new(rows.map(|rows| (rows, grid.estimate(rows, TENSOR_LENGTH))));
        let stacks = together != Together::No;
        Ok(Profile { cost, stacks, texts: Some(TextProfile { grid, rules }) })
    }

    /// Runs two texts of different lengths, alone and together, then two of one length: only where both ways give the
    /// same may texts share a run. Padding is that of `rules`: where there are buckets, also a text alone is padded.
    fn together(&mut self, model: &TextModel, rules: &Rules, texts: [&Sequence; 2], alone: &[Column]) -> Together {
        if !self.backend.signature().may_stack() {
            return Together::No;
        }
        if model.may_pad() && self.agrees(model, texts, alone, |length| rules.padded(length)) {
            return Together::Padded;
        }
        let shortest = texts.iter().map(|text| text.len()).min();
        let Some((one, two)) = model.samples(shortest) else { return Together::No };
        let (Ok(first), Ok(second)) = (self.answer(model, &[&one], 0), self.answer(model, &[&two], 0)) else {
            return Together::No;
        };
        let alone: Vec<Column> = first.into_iter().chain(second).collect();
        if self.agrees(model, [&one, &two], &alone, |length| length) { Together::SameLength } else { Together::No }
    }

    /// Whether a run of both, and one of each where it is padded, gives what each gave alone and as it is.
    fn agrees(
        &mut self,
        model: &TextModel,
        texts: [&Sequence; 2],
        alone: &[Column],
        padded: impl Fn(usize) -> usize,
    ) -> bool {
        let tolerance = self.tolerance;
        let mut same = |texts: &[&Sequence], alone: &[Column]| {
            let longest = texts.iter().map(|text| text.len()).max().unwrap_or_default();
            self.answer(model, texts, padded(longest)).is_ok_and(|got| {
                got.len() == alone.len() && alone.iter().zip(&got).all(|(one, got)| same_row(one, got, 0, tolerance))
            })
        };
        let is_padded = |text: &Sequence| padded(text.len()) > text.len();
        same(&texts, alone)
            && (0..2).all(|i| !is_padded(texts[i]) || same(&texts[i..=i], alone.get(i..=i).unwrap_or_default()))
    }

    /// What the model makes of texts in one run, padded to `pad_to` tokens, each finished.
    fn answer(&mut self, model: &TextModel, texts: &[&Sequence], pad_to: usize) -> Result<Vec<Column>, LoadError> {
        let columns = self.once(&model.inputs(texts, pad_to)).map_err(|error| match error {
            RunError::Terminated => too_long(),
            error => failed(&format!("on a sentence: {error}")),
        })?;
        let want = match model.config().task {
            Task::Embedding => Want::Embedding(Finish::default()),
            Task::Classifier | Task::Reranker => Want::Scores { raw: false },
        };
        let finish = |(row, text): (usize, &&Sequence)| {
            let text = Text { sequence: (*text).clone(), want };
            finished(model, &text, &columns, row).map_err(|error| failed(&format!("on a sentence: {error}")))
        };
        texts.iter().enumerate().map(finish).collect()
    }

    /// Measures the shapes that are worth it, within the budget. What does not run is taken out of `rules`.
    fn grid(&mut self, model: &TextModel, rules: &mut Rules, sample: &Sequence) -> Result<CostGrid, LoadError> {
        let mut grid = match &*rules.buckets {
            [] => CostGrid::new(rules.max_rows, model.config().max_tokens),
            buckets => CostGrid::with_lengths(rules.max_rows, buckets),
        };
        let began = Instant::now();
        let left = || BUDGET.saturating_sub(began.elapsed()) / REPEATS;
        while let Some(point) = grid.next_point(left(), |point| rules.may_try(point)) {
            let inputs = shaped(model, sample, point);
            let mut fastest = Duration::MAX;
            let ran = (0..REPEATS).try_for_each(|_| {
                let run = Instant::now();
                self.once(&inputs)?;
                fastest = fastest.min(run.elapsed());
                Ok(())
            });
            match ran {
                Ok(()) => grid.measured(point, fastest),
                Err(RunError::Terminated) => return Err(too_long()),
                Err(error) => give_up(point, &error, rules)?,
            }
        }
        Ok(grid)
    }
}

/// A short and a long sentence.
pub(super) fn samples(model: &TextModel) -> Result<(Sequence, Sequence), LoadError> {
    model.samples(None).ok_or_else(|| failed("its tokenizer makes nothing of a sentence"))
}

/// A run of this shape, made from a sentence.
pub(super) fn shaped(model: &TextModel, sample: &Sequence, shape: Point) -> Vec<Tensor> {
    let row = sample.stretched(shape.length.min(model.config().max_tokens));
    model.inputs(&vec![&row; shape.rows], shape.length)
}

/// Takes a shape that did not run out of `rules`.
///
/// # Errors
/// When it is a single text of moderate length: whoever cannot run that cannot serve.
pub(super) fn give_up(shape: Point, error: &RunError, rules: &mut Rules) -> Result<(), LoadError> {
    let Point { rows, length } = shape;
    if rows == 1 && length <= MODERATE {
        return Err(failed(&format!("on a text of {length} tokens: {error}")));
    }
    tracing::warn!(%error, "the model does not run on {rows} texts of {length} tokens: runs stay smaller");
    rules.refuse(shape);
    Ok(())
}

fn failed(what: &str) -> LoadError {
    LoadError::WarmUp(what.to_owned())
}
