//! What a run may be.

use std::time::Duration;

use crate::run::grid::Point;

/// What a run may be, and whom it must not leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The most texts in a run; at least one is always run.
    pub max_rows: usize,
    /// The most tokens in a run, padding included. A single text may have more.
    pub max_padded: Option<usize>,
    /// False for models that have no mask: only texts of equal length share a run.
    pub may_pad: bool,
    /// Lengths to pad to, ascending. What is longer than the last keeps its length. Ignored where nothing may be padded.
    pub buckets: Box<[usize]>,
    /// Every new shape is dear (CUDA, `OpenVINO`): runs have 1, 2, 4, … texts, or the most.
    pub few_shapes: bool,
    /// Shapes that did not run at warm-up.
    pub ceilings: Vec<Ceiling>,
    /// Once a text has waited this long, no run leaves out the oldest.
    pub max_age: Duration,
}

/// Of a shape that did not run, what is left: memory goes with rows and length, so no larger one is tried either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Up to this length it does not hold.
    pub above: usize,
    /// The most texts in a run; 0 where a text alone did not run. Then it is still run alone: it may be shorter.
    pub rows: usize,
}

impl Rules {
    /// The length that a text is run with when it is the longest of its run.
    #[must_use]
    pub fn padded(&self, length: usize) -> usize {
        if !self.may_pad {
            return length;
        }
        let bucket = self.buckets.partition_point(|bucket| *bucket < length);
        self.buckets.get(bucket).copied().unwrap_or(length)
    }

    /// Whether a run may have so many texts, at most `most` being allowed.
    #[must_use]
    pub fn allows(&self, rows: usize, most: usize) -> bool {
        !self.few_shapes || rows.is_power_of_two() || rows == most
    }

    /// The most texts in a run of this padded length.
    #[must_use]
    pub fn rows_at(&self, padded: usize) -> usize {
        let fit = self.max_padded.map_or(usize::MAX, |most| most / padded.max(1));
        self.max_rows.min(fit).min(self.ceiling(padded)).max(1)
    }

    /// Whether a run may have this shape, and none that is as small did not run.
    #[must_use]
    pub fn may_try(&self, shape: Point) -> bool {
        shape.rows <= self.rows_at(shape.length).min(self.ceiling(shape.length))
    }

    /// This shape did not run. What is left ends at the next smaller ones, that is, at half the rows or above the bucket
    /// before its length, or half its length: between these, nobody knows.
    pub fn refuse(&mut self, shape: Point) {
        // The power of two below a number.
        let half = |number: usize| number.saturating_sub(1).checked_ilog2().map_or(0, |power| 1 << power);
        let shorter = self.buckets.iter().rev().find(|bucket| **bucket < shape.length);
        let above = if self.buckets.is_empty() { half(shape.length) } else { shorter.copied().unwrap_or(0) };
        self.ceilings.push(Ceiling { above, rows: half(shape.rows) });
    }

    /// All shapes that a run may have, the cheap ones first; none where they are not few.
    #[must_use]
    pub fn shapes(&self) -> Vec<Point> {
        if !self.few_shapes || !self.may_pad {
            return Vec::new();
        }
        let of = |length: &usize| {
            let (length, most) = (*length, self.rows_at(*length));
            (1..=most).filter(move |rows| self.allows(*rows, most)).map(move |rows| Point { rows, length })
        };
        let mut shapes: Vec<Point> = self.buckets.iter().flat_map(of).collect();
        shapes.sort_by_key(|shape| (shape.rows.saturating_mul(shape.length), shape.length));
        shapes
    }

    fn ceiling(&self, padded: usize) -> usize {
        let holds = self.ceilings.iter().filter(|ceiling| padded > ceiling.above);
        holds.map(|ceiling| ceiling.rows).min().unwrap_or(usize::MAX)
    }
}
