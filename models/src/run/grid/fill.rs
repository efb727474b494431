//! Times of nodes that nobody measured, made from those that somebody did.

use super::{SECONDS, real};

/// Of what smaller runs suggest for the next larger one. Were it all of it, runs that seem to gain nothing would never be
/// tried, and what seems so may have been noise.
const HOPE: f64 = 0.98;

/// Seconds of a run as long as nothing is known: an overhead, and ten tokens for as much again.
fn guess(rows: usize, length: usize) -> f64 {
    1e-4f64.mul_add(real(rows) * real(length), 1e-3)
}

/// Seconds of all nodes, by length, then by rows, never falling along either axis. `known` are logarithms of seconds.
pub(super) fn seconds(rows: &[usize], lengths: &[usize], known: &[Option<f64>]) -> Vec<f64> {
    let mut filled = Filled { rows, lengths, known, logs: Vec::with_capacity(known.len()) };
    for length in 0..lengths.len() {
        for row in 0..rows.len() {
            let log = filled.node(row, length);
            filled.logs.push(log.clamp(SECONDS.0.ln(), SECONDS.1.ln()));
        }
    }
    let hope = |index: usize| if is_next(known, rows.len(), index) { HOPE } else { 1.0 };
    let seconds: Vec<f64> = filled.logs.iter().enumerate().map(|(index, log)| log.exp() * hope(index)).collect();
    monotone(&seconds, rows.len())
}

/// Whether a node is the first behind those that are known at its length.
fn is_next(known: &[Option<f64>], width: usize, index: usize) -> bool {
    let column = &known[index - index % width..][..width];
    column.iter().rposition(Option::is_some).is_some_and(|last| last + 1 == index % width)
}

struct Filled<'g> {
    rows: &'g [usize],
    lengths: &'g [usize],
    known: &'g [Option<f64>],
    /// What is filled in so far.
    logs: Vec<f64>,
}

impl Filled<'_> {
    /// Between two known nodes on a power law, beyond them as the nodes before it suggest.
    fn node(&self, row: usize, length: usize) -> f64 {
        let width = self.rows.len();
        let known = |row: usize, length: usize| self.known[length * width + row];
        known(row, length)
            .or_else(|| between(self.rows, row, |row| known(row, length)))
            .or_else(|| between(self.lengths, length, |length| known(row, length)))
            .unwrap_or_else(|| self.beyond(row, length))
    }

    fn beyond(&self, row: usize, length: usize) -> f64 {
        let width = self.rows.len();
        let log = |row: usize, length: usize| self.logs[length * width + row];
        match (row, length) {
            (0, 0) => self.first(),
            (_, 0) => onwards(self.rows, row, |row| log(row, 0)),
            (0, _) => onwards(self.lengths, length, |length| log(0, length)),
            // More rows gain here what they gained one length before.
            _ => {
                let gain = log(row, length - 1) - log(row - 1, length - 1);
                let most = (real(self.rows[row]) / real(self.rows[row - 1])).ln() * 2.0;
                log(row - 1, length) + gain.clamp(0.0, most)
            }
        }
    }

    /// The guess, scaled so that it meets the first node that is known.
    fn first(&self) -> f64 {
        let width = self.rows.len();
        let at = |index: usize| guess(self.rows[index % width], self.lengths[index / width]).ln();
        let known = self.known.iter().enumerate().find_map(|(index, log)| Some(log.as_ref()? - at(index)));
        at(0) + known.unwrap_or(0.0)
    }
}

/// A node between two known ones.
fn between(axis: &[usize], at: usize, known: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let below = |node: usize| Some((node, known(node)?));
    let (low, from) = (0..at).rev().find_map(below)?;
    let (high, to) = (at + 1..axis.len()).find_map(below)?;
    let ln = |node: usize| real(axis[node]).ln();
    Some((to - from).mul_add((ln(at) - ln(low)) / (ln(high) - ln(low)), from))
}

/// A node behind the last that is filled in: on a straight line, which is an overhead and a price each, or on the power
/// law of the last two, whichever is more: that is attention, once it outweighs the rest.
fn onwards(axis: &[usize], at: usize, log: impl Fn(usize) -> f64) -> f64 {
    let last = log(at - 1);
    let grown = (real(axis[at]) / real(axis[at - 1])).ln();
    if at < 2 {
        return last + grown;
    }
    let before = log(at - 2);
    let step = real(axis[at] - axis[at - 1]) / real(axis[at - 1] - axis[at - 2]);
    let line = (last.exp() - before.exp()).max(0.0).mul_add(step, last.exp()).ln();
    let power = (last - before) / (real(axis[at - 1]) / real(axis[at - 2])).ln();
    line.max(power.clamp(0.0, 2.0).mul_add(grown, last))
}

/// Half way between the least surface above that never falls and the greatest below. A node that noise has put too high
/// or too low does half its harm so, and a surface that never falls stays what it is.
fn monotone(seconds: &[f64], width: usize) -> Vec<f64> {
    let (mut above, mut below) = (seconds.to_vec(), seconds.to_vec());
    for index in 0..seconds.len() {
        let (row, shorter) = (index % width, index.checked_sub(width));
        let fewer = (row > 0).then(|| above[index - 1]);
        let least = fewer.into_iter().chain(shorter.map(|shorter| above[shorter]));
        above[index] = least.fold(above[index], f64::max);
    }
    for index in (0..seconds.len()).rev() {
        let more = (index % width + 1 < width).then(|| below[index + 1]);
        let most = more.into_iter().chain(below.get(index + width).copied());
        below[index] = most.fold(below[index], f64::min);
    }
    above.iter().zip(&below).map(|(above, below)| f64::midpoint(*above, *below)).collect()
}
