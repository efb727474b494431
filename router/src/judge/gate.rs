//! The test that a canary was shown to be good.

use std::collections::VecDeque;

use super::{Limit, MOST_ROWS, Verdict};
use crate::num::log_sum_exp;

/// True shares that the bets are best against, as parts of p0, and the mass of each.
const SHARE: [f64; 4] = [0.0, 0.1, 0.25, 0.5];
const MASS: [f64; 4] = [0.5, 0.2, 0.15, 0.15];

/// Tests "the share of bad rows is at least p0", by `1 - l w_i (f_i - p0)` with `l = (p0 - p0 s) / (p0 (1 - p0))`.
///
/// "Not shown to be bad" is not "shown to be good": a canary passes only when this is refuted, which for 1 % at 95 %
/// takes 329 clean executions, 694 with one failure. Fed in the order of dispatch, up to the oldest execution in flight
/// ([`InOrder`]), with this step's executions only. Rows whose fallback on stable failed too are dropped; bad rows
/// without a fallback count as bad.
#[derive(Debug, Clone)]
pub struct Gate {
    p0: f64,
    bets: [f64; SHARE.len()],
    log: [f64; SHARE.len()],
    largest: u32,
    n: u64,
    bad: u64,
    rows: f64,
    bad_rows: f64,
}

impl Gate {
    /// A gate for `limit` (p0) that has seen nothing.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        let p0 = limit.share();
        let bets = SHARE.map(|share| (p0 - p0 * share) / (p0 * (1.0 - p0)));
        Self { p0, bets, log: MASS.map(f64::ln), largest: 0, n: 0, bad: 0, rows: 0.0, bad_rows: 0.0 }
    }

    /// The next execution in the order of dispatch had `rows` rows (none: dropped), `fraction` (0 to 1) of them bad.
    pub fn executed(&mut self, rows: u32, fraction: f64) {
        if rows == 0 || fraction.is_nan() {
            return;
        }
        let fraction = fraction.clamp(0.0, 1.0);
        let counted = rows.min(MOST_ROWS);
        self.largest = self.largest.max(counted);
        let weight = f64::from(counted) / f64::from(self.largest);
        for (log, bet) in self.log.iter_mut().zip(self.bets) {
            let factor = 1.0 - bet * weight * (fraction - self.p0);
            *log += if factor > 0.0 { factor.ln() } else { f64::NEG_INFINITY };
        }
        self.n += 1;
        self.bad += u64::from(fraction > 0.0);
        self.rows += f64::from(rows);
        self.bad_rows += fraction * f64::from(rows);
    }

    /// log G, to the base e.
    #[must_use]
    pub fn log_g(&self) -> f64 {
        log_sum_exp(self.log.into_iter())
    }

    /// Passes (`decided`) when log G has reached `log(1 / (1 - confidence))`; `confidence` is below 1, such as 0.95.
    #[must_use]
    pub fn verdict(&self, confidence: f64) -> Verdict {
        let (evidence, enough) = (self.log_g(), -(1.0 - confidence).ln());
        Verdict {
            value: if self.rows > 0.0 { self.bad_rows / self.rows } else { 0.0 },
            limit: self.p0,
            evidence,
            enough,
            n: self.n,
            bad: self.bad,
            decided: evidence >= enough,
        }
    }
}

/// Puts executions back into the order of their dispatch: they leave when all that were dispatched before them have.
#[derive(Debug, Clone, Default)]
pub struct InOrder {
    /// What has ended, from the oldest in flight on: rows and bad fraction.
    waiting: VecDeque<Option<(u32, f64)>>,
    /// The number of the oldest.
    first: u64,
}

impl InOrder {
    /// An execution starts. The number is its own.
    pub fn dispatch(&mut self) -> u64 {
        self.waiting.push_back(None);
        self.first + self.waiting.len() as u64 - 1
    }

    /// Execution `number` ended with `rows` rows that count (none: it is dropped), `fraction` of them bad. `gate` is
    /// told of it, and of those behind it, once nothing older is in flight.
    pub fn end(&mut self, number: u64, rows: u32, fraction: f64, gate: &mut Gate) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place.and_then(|place| self.waiting.get_mut(place)) {
            *place = Some((rows, fraction));
        }
        while let Some(Some((rows, fraction))) = self.waiting.front().copied() {
            self.waiting.pop_front();
            self.first += 1;
            gate.executed(rows, fraction);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_fed_in_the_order_of_dispatch() {
        let limit = Limit::new(0.05).unwrap();
        let (mut queue, mut gate, mut direct) = (InOrder::default(), Gate::new(limit), Gate::new(limit));
        let numbers: Vec<_> = (0..4).map(|_| queue.dispatch()).collect();
        queue.end(numbers[2], 8, 0.25, &mut gate);
        queue.end(numbers[1], 4, 0.0, &mut gate);
        assert_eq!(gate.n, 0);
        queue.end(numbers[0], 0, 0.0, &mut gate);
        queue.end(numbers[0], 9, 1.0, &mut gate);
        direct.executed(4, 0.0);
        direct.executed(8, 0.25);
        assert_eq!((gate.n, gate.log_g().to_bits()), (2, direct.log_g().to_bits()));
        queue.end(numbers[3] + 100, 1, 1.0, &mut gate);
        queue.end(numbers[3], 1, 0.0, &mut gate);
        assert_eq!(gate.n, 3);
    }
}
