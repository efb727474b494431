//! What a run of texts costs by its rows and by the length they are padded to, as measured and as seen since.
//!
//! The grid has a node for each power of two of rows and of lengths. Time between nodes is linear in rows and in length,
//! not in their logarithms: a run is an overhead and a price per token, which that meets exactly, and only attention's
//! square is overestimated, by a few per cent half way between two lengths. Nodes that nobody measured are filled in
//! from those that somebody did, [`CostGrid::next_point`] says which are worth a measurement, and
//! [`CostGrid::observe`] moves them while the model serves.

mod fill;
mod learn;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::Point;

use std::time::Duration;

/// The shortest length with a node. Below, a run is overhead: what is shorter is taken to cost the same.
const SHORTEST: usize = 8;
/// Seconds of a run lie between these, whatever a clock says, so that their logarithms are numbers.
const SECONDS: (f64, f64) = (1e-9, 1e9);

/// Expected time of a run of `rows` texts padded to `length` tokens. It never falls when either grows.
///
/// A plain struct: it lives behind the lock of the queue that composes with it. Reading allocates nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct CostGrid {
    /// Ascending, 1, 2, 4, … and the most that a run may have.
    rows: Vec<usize>,
    /// Ascending in tokens, 8, 16, 32, … and the most that the model takes.
    lengths: Vec<usize>,
    /// Logarithm of the seconds of each node that was measured or seen, by length, then by rows.
    known: Vec<Option<f64>>,
    /// How often each node was passed over since it was measured or seen.
    passed: Vec<u32>,
    /// Seconds of each node, in the same order, never falling along either axis.
    seconds: Vec<f64>,
}

impl CostGrid {
    /// A grid for runs up to `max_rows` texts of up to `max_tokens` tokens. Before anything is measured its times are a
    /// guess that only has the right shape.
    #[must_use]
    pub fn new(max_rows: usize, max_tokens: usize) -> Self {
        Self::on(axis(1, max_rows), axis(SHORTEST, max_tokens))
    }

    /// The same for runs that are padded to one of `lengths` and to no other.
    #[must_use]
    pub fn with_lengths(max_rows: usize, lengths: &[usize]) -> Self {
        let mut lengths: Vec<usize> = lengths.iter().map(|length| (*length).max(1)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let lengths = if lengths.is_empty() { vec![SHORTEST] } else { lengths };
        Self::on(axis(1, max_rows), lengths)
    }

    fn on(rows: Vec<usize>, lengths: Vec<usize>) -> Self {
        let known = vec![None; rows.len() * lengths.len()];
        let seconds = fill::seconds(&rows, &lengths, &known);
        let passed = vec![0; known.len()];
        Self { rows, lengths, known, passed, seconds }
    }

    /// Expected time of a run.
    #[must_use]
    pub fn estimate(&self, rows: usize, length: usize) -> Duration {
        duration(self.seconds(rows, length))
    }

    /// The same in seconds, always positive. In proportion beyond the last nodes, where nothing can be measured.
    #[must_use]
    pub fn seconds(&self, rows: usize, length: usize) -> f64 {
        let (r, l) = (Place::on(&self.rows, rows), Place::on(&self.lengths, length));
        let column = |at: usize| mix(self.node(r.low, at), self.node(r.high, at), r.part);
        mix(column(l.low), column(l.high), l.part) * l.beyond * r.beyond
    }

    /// Seconds of a text's part in the best run of texts of its length, up to `max_rows` of them: what a text adds to
    /// the work of a queue that is long enough to make good runs of.
    #[must_use]
    pub fn share(&self, length: usize, max_rows: usize) -> f64 {
        let sizes = self.rows.iter().copied().filter(|rows| *rows < max_rows).chain([max_rows.max(1)]);
        sizes.map(|rows| self.seconds(rows, length) / real(rows)).fold(f64::INFINITY, f64::min)
    }

    /// Makes `column` the seconds of runs of 1, 2, … `max_rows` texts of `length`.
    pub(crate) fn column(&self, length: usize, max_rows: usize, column: &mut Vec<f64>) {
        let l = Place::on(&self.lengths, length);
        let node = |row: usize| mix(self.node(row, l.low), self.node(row, l.high), l.part) * l.beyond;
        column.clear();
        column.push(node(0));
        for row in 1..self.rows.len() {
            let (low, high) = (self.rows[row - 1], self.rows[row]);
            let (from, step) = (node(row - 1), (node(row) - node(row - 1)) / real(high - low));
            let last = high.min(max_rows.max(low));
            column.extend((low + 1..=last).map(|rows| from + step * real(rows - low)));
        }
        let most = self.rows.last().copied().unwrap_or(1);
        let last = node(self.rows.len() - 1);
        column.extend((most + 1..=max_rows).map(|rows| last * real(rows) / real(most)));
    }

    fn node(&self, row: usize, length: usize) -> f64 {
        self.seconds[self.index(row, length)]
    }

    const fn index(&self, row: usize, length: usize) -> usize {
        length * self.rows.len() + row
    }

    fn refill(&mut self) {
        self.seconds = fill::seconds(&self.rows, &self.lengths, &self.known);
    }
}

/// Where a value lies on an axis.
struct Place {
    low: usize,
    high: usize,
    /// The way from `low` to `high`, 0 to 1.
    part: f64,
    /// The value as a multiple of the last node where it lies behind it, else 1.
    beyond: f64,
}

impl Place {
    fn on(axis: &[usize], value: usize) -> Self {
        let last = axis.len() - 1;
        match axis.partition_point(|node| *node <= value) {
            0 => Self { low: 0, high: 0, part: 0.0, beyond: 1.0 },
            above if above > last => Self { low: last, high: last, part: 0.0, beyond: real(value) / real(axis[last]) },
            high => {
                let (from, to) = (axis[high - 1], axis[high]);
                Self { low: high - 1, high, part: real(value - from) / real(to - from), beyond: 1.0 }
            }
        }
    }
}

/// `first`, doubled until `last`, which is its last node; at least 1.
fn axis(first: usize, last: usize) -> Vec<usize> {
    let last = last.max(1);
    let doubled = std::iter::successors(Some(first), |node| node.checked_mul(2));
    doubled.take_while(|node| *node < last).chain([last]).collect()
}

/// The way from one to the other; rounding does not lead beyond it, or times would fall from there.
fn mix(from: f64, to: f64, part: f64) -> f64 {
    if part <= 0.0 { from } else { (from + (to - from) * part).min(to) }
}

#[expect(clippy::cast_precision_loss, reason = "rows and lengths are far below 2^52")]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}

/// `seconds` as a duration; the longest there is where it has no better.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
