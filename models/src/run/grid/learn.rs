//! Estimates move with what is seen while the model serves.

use std::time::Duration;

use super::{CostGrid, Place, SECONDS};

/// How much of a surprise is believed.
const GAIN: f64 = 0.2;
/// The largest surprise, as a logarithm. A throttled container stands still for 100 ms, which is forty times a short
/// run: as a single observation that moves an estimate by a twentieth, as a habit it is learnt in some tens of runs.
const SURPRISE: f64 = 0.25;
/// What is nearer than this is no news: clocks differ by as much, and learning it would take 10 µs of each run.
const EXPECTED: f64 = 0.02;
/// What was passed over so often is not known any more, and is tried again where that promises anything.
const FORGOTTEN: u32 = 32;
/// An observation makes a node known from this weight on; below, the node goes on following those around it.
const NEAR: f64 = 0.25;

impl CostGrid {
    /// A run of `rows` texts padded to `length` took this long. Only what ended well should be told.
    pub fn observe(&mut self, rows: usize, length: usize, took: Duration) {
        let took = took.as_secs_f64().clamp(SECONDS.0, SECONDS.1);
        let (r, l) = (Place::on(&self.rows, rows), Place::on(&self.lengths, length));
        let expected = self.seconds(rows, length);
        let surprise = (took / expected).ln();
        if surprise.abs() < EXPECTED && self.is_known(r.low, l.low) {
            let index = self.index(r.low, l.low);
            self.passed[index] = 0;
            return;
        }
        if self.known.iter().all(Option::is_none) {
            // There was nothing but a guess: all of it is scaled.
            let nearest = self.index(r.low, l.low);
            self.known[nearest] = Some(self.seconds[nearest].ln() + surprise);
            return self.refill();
        }
        let corners = [
            (r.low, l.low, (1.0 - r.part) * (1.0 - l.part)),
            (r.high, l.low, r.part * (1.0 - l.part)),
            (r.low, l.high, (1.0 - r.part) * l.part),
            (r.high, l.high, r.part * l.part),
        ];
        // What was inferred is worth less than what is seen, even once.
        let inferred = corners.iter().any(|(row, length, weight)| *weight >= NEAR && !self.is_known(*row, *length));
        let gain = if inferred { 1.0 } else { GAIN };
        // So that the estimate between them moves by the whole step.
        let norm: f64 = corners.iter().map(|(_, _, weight)| weight * weight).sum();
        let step = surprise.clamp(-SURPRISE, SURPRISE) * gain / norm.max(NEAR);
        for (row, length, weight) in corners {
            let index = self.index(row, length);
            if weight > 0.0 && (weight >= NEAR || self.known[index].is_some()) {
                let before = self.known[index].unwrap_or_else(|| self.seconds[index].ln());
                self.settle(row, length, step.mul_add(weight, before));
            }
        }
        self.refill();
    }

    /// A run of so many texts of a length was chosen where there were enough for a larger one. A time that was taken when
    /// the machine stood still would keep larger runs from being chosen for ever: in the end they count as unknown, and
    /// are what smaller ones suggest.
    pub fn pass_over(&mut self, rows: usize, length: usize) {
        let (r, l) = (Place::on(&self.rows, rows), Place::on(&self.lengths, length));
        let chosen = if r.part > 0.0 { r.high } else { r.low };
        let last = if l.part > 0.0 { l.high } else { l.low };
        let mut forgotten = false;
        for length in l.low..=last {
            for index in self.index(chosen + 1, length)..self.index(0, length + 1) {
                self.passed[index] += 1;
                if self.passed[index] >= FORGOTTEN {
                    self.passed[index] = 0;
                    forgotten |= self.known[index].take().is_some();
                }
            }
        }
        if forgotten {
            self.refill();
        }
    }

    fn is_known(&self, row: usize, length: usize) -> bool {
        self.known[self.index(row, length)].is_some()
    }

    /// Makes `log` a node's time. Known nodes that it contradicts, since times never fall, give way to it: they are
    /// older, and may never be seen again because of what they say.
    fn settle(&mut self, row: usize, length: usize, log: f64) {
        let width = self.rows.len();
        for (index, known) in self.known.iter_mut().enumerate() {
            let (other_row, other_length) = (index % width, index / width);
            let Some(known) = known else { continue };
            if other_row <= row && other_length <= length {
                *known = known.min(log);
            } else if other_row >= row && other_length >= length {
                *known = known.max(log);
            }
        }
        let index = self.index(row, length);
        self.known[index] = Some(log.clamp(SECONDS.0.ln(), SECONDS.1.ln()));
        self.passed[index] = 0;
    }
}
