//! The cut of a sorted list of texts into runs that takes the least time in total.
//!
//! Runs of neighbours are enough to look at: times never fall with length, so exchanging texts until every run holds
//! neighbours makes none dearer. The best cut of the first `n` texts ends in a run of some size and begins with the best
//! cut of what is before it: `n` times `max_rows` sums.

use std::ops::Range;

use super::Rules;
use crate::run::grid::CostGrid;

/// A run of a cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which of the sorted texts.
    pub texts: Range<usize>,
    /// The length they are padded to.
    pub length: usize,
    /// Its expected time.
    pub seconds: f64,
}

/// Cuts texts of these lengths, which ascend, into runs, which ascend too. Of cuts that take the same time it is one
/// with small runs, which answer sooner.
pub(super) fn partition(lengths: &[usize], grid: &CostGrid, rules: &Rules) -> Vec<Run> {
    let count = lengths.len();
    // The least time of the first texts, of all `count` of them first and of none last: backwards, so that what is
    // summed below lies in memory as the column does. And the size of the last run of each.
    let mut best = vec![0.0; count + 1];
    let mut last: Vec<usize> = Vec::with_capacity(count);
    let (mut column, mut column_of, mut equal) = (Vec::new(), None, 0);
    for (index, length) in lengths.iter().enumerate() {
        equal = if index > 0 && lengths[index - 1] == *length { equal + 1 } else { 1 };
        let padded = rules.padded(*length);
        let most = rules.rows_at(padded).min(index + 1);
        let most = if rules.may_pad { most } else { most.min(equal) };
        if column_of != Some(padded) {
            let most = rules.rows_at(padded);
            grid.column(padded, most.min(count), &mut column);
            for (_, seconds) in (1..).zip(&mut column).filter(|(rows, _)| !rules.allows(*rows, most)) {
                // So dear that it is never chosen: a run of the text alone is always allowed.
                *seconds = f64::INFINITY;
            }
            column_of = Some(padded);
        }
        let at = count - index;
        let (rows, seconds) = least(&best[at..at + most], &column[..most]);
        best[at - 1] = seconds;
        last.push(rows);
    }
    let mut runs = Vec::new();
    let mut end = count;
    while let Some(size) = end.checked_sub(1).and_then(|text| last.get(text)) {
        let length = rules.padded(lengths[end - 1]);
        runs.push(Run { texts: end - size..end, length, seconds: grid.seconds(*size, length) });
        end -= size;
    }
    runs.reverse();
    runs
}

/// The least sum of what stands at one place in both, and the first place that has it, counted from 1.
///
/// A queue's lock is held while this runs some hundred times: in lanes it takes a fifth of the time.
fn least(before: &[f64], runs: &[f64]) -> (usize, f64) {
    let mut lanes = [f64::INFINITY; 8];
    let (befores, rest) = before.as_chunks::<8>();
    let (chunks, other) = runs.as_chunks::<8>();
    for (before, run) in befores.iter().zip(chunks) {
        for (lane, (before, run)) in lanes.iter_mut().zip(before.iter().zip(run)) {
            let sum = before + run;
            *lane = if sum < *lane { sum } else { *lane };
        }
    }
    let rest = rest.iter().zip(other).map(|(before, run)| before + run);
    let least = lanes.into_iter().chain(rest).fold(f64::INFINITY, f64::min);
    let place = before.iter().zip(runs).position(|(before, run)| before + run <= least);
    (place.map_or(1, |place| place + 1), least)
}
