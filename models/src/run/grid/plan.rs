//! Which runs are worth measuring at warm-up, within the time that it may take.

use std::time::Duration;

use super::{CostGrid, SECONDS, real};

/// More rows are given up at a length once they gained less than this, of a text's share, over two doublings.
const GAIN: f64 = 0.03;

/// A run to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Texts in it.
    pub rows: usize,
    /// Tokens of each.
    pub length: usize,
}

impl CostGrid {
    /// The next run to measure, `left` being the time that one run may take. None when all is known that is worth it.
    ///
    /// Cheap ones first, since the estimates get better with each; single texts before equally dear groups, since every
    /// group is compared with its texts alone. The first point is returned whatever is left. Those that are not `open` are
    /// passed over; a point of which nothing is told while it stays open is returned again.
    #[must_use]
    pub fn next_point(&self, left: Duration, open: impl Fn(Point) -> bool) -> Option<Point> {
        let left = left.as_secs_f64();
        let nothing = self.known.iter().all(Option::is_none);
        let unknown = (0..self.known.len()).filter(|index| self.known[*index].is_none());
        let point = |row: usize, length: usize| Point { rows: self.rows[row], length: self.lengths[length] };
        let (row, length) = unknown
            .map(|index| (index % self.rows.len(), index / self.rows.len()))
            .filter(|(row, length)| open(point(*row, *length)))
            .filter(|(row, length)| nothing || (self.node(*row, *length) <= left && self.is_worth(*row, *length)))
            .min_by(|one, two| self.rank(*one).total_cmp(&self.rank(*two)))?;
        Some(point(row, length))
    }

    /// Takes a measurement for what it says. Points between nodes are taken for [observations](Self::observe).
    pub fn measured(&mut self, point: Point, took: Duration) {
        let row = self.rows.iter().position(|rows| *rows == point.rows);
        let length = self.lengths.iter().position(|length| *length == point.length);
        match (row, length) {
            (Some(row), Some(length)) => {
                let index = self.index(row, length);
                self.known[index] = Some(took.as_secs_f64().clamp(SECONDS.0, SECONDS.1).ln());
                self.refill();
            }
            _ => self.observe(point.rows, point.length, took),
        }
    }

    fn rank(&self, (row, length): (usize, usize)) -> f64 {
        self.node(row, length) * real(self.rows[row]).sqrt()
    }

    /// Whether this many rows may gain something: they do not where fewer already gained nothing, at this length or at
    /// a shorter one, for rows gain less the longer they are.
    fn is_worth(&self, row: usize, length: usize) -> bool {
        let share = |row: usize, length: usize| self.node(row, length) / real(self.rows[row]);
        let known = |row: usize, length: usize| self.known[self.index(row, length)].is_some();
        let flat = |row: usize, length: usize| {
            known(row, length) && known(row - 2, length) && share(row, length) > share(row - 2, length) * (1.0 - GAIN)
        };
        !(0..=length).any(|length| (2..row).any(|row| flat(row, length)))
    }
}
