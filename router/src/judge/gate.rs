//! The test that a canary was shown to be good.

use serde::{Deserialize, Serialize};

use super::{Limit, MOST_ROWS, Verdict};
use crate::num::{float, log_sum_exp};

/// True shares that the bets are best against, as parts of p0, and the mass of each.
const SHARE: [f64; 4] = [0.0, 0.1, 0.25, 0.5];
const MASS: [f64; 4] = [0.5, 0.2, 0.15, 0.15];

/// Tests "the share of bad rows is at least p0", by `1 - l w_i (f_i - p0)` with `l = (p0 - p0 s) / (p0 (1 - p0))`.
///
/// "Not shown to be bad" is not "shown to be good": a canary passes only when this is refuted, which for 1 % at 95 %
/// takes 329 clean executions, 694 with one failure. Fed in the order of dispatch, up to the oldest execution in flight
/// ([`super::Ledger`]), with this step's executions only. Rows whose fallback on stable failed too are dropped; bad rows
/// without a fallback count as bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    p0: f64,
    bets: [f64; SHARE.len()],
    #[serde(with = "crate::num::logarithms")]
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

    /// The next `count` executions in the order of dispatch had `rows` rows each, all of them good.
    pub fn clean(&mut self, rows: u32, count: u64) {
        if rows == 0 || count == 0 {
            return;
        }
        let counted = rows.min(MOST_ROWS);
        self.largest = self.largest.max(counted);
        let weight = f64::from(counted) / f64::from(self.largest);
        for (log, bet) in self.log.iter_mut().zip(self.bets) {
            *log += float(count) * (bet * weight * self.p0).ln_1p();
        }
        self.n += count;
        self.rows += float(count) * f64::from(rows);
    }

    /// What two replicas have seen in the same step, together: neither has seen what the other has, so the factors of
    /// both are those of one process.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for ((log, other), mass) in self.log.iter_mut().zip(other.log).zip(MASS) {
            // Both began with it.
            *log += other - mass.ln();
        }
        self.largest = self.largest.max(other.largest);
        self.n += other.n;
        self.bad += other.bad;
        self.rows += other.rows;
        self.bad_rows += other.bad_rows;
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_survives_being_stored() {
        let mut gate = Gate::new(Limit::new(0.01).unwrap());
        gate.clean(32, 100);
        // A bet that was lost to the last cent.
        gate.log[0] = f64::NEG_INFINITY;
        let stored = serde_json::to_string(&gate).unwrap();
        let read: Gate = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.n, read.bad, read.log[0].is_infinite()), (gate.n, gate.bad, true));
        assert!((read.log_g() - gate.log_g()).abs() < 1e-12);
    }

    #[test]
    fn what_two_have_seen_is_what_one_would_have() {
        let new = || Gate::new(Limit::new(0.01).unwrap());
        let (mut here, mut there, mut one) = (new(), new(), new());
        for turn in 0..400 {
            let fraction = if turn == 130 { 0.25 } else { 0.0 };
            if turn % 3 == 0 {
                here.executed(8, fraction);
            } else {
                there.executed(8, fraction);
            }
            one.executed(8, fraction);
        }
        let both = here.with(&there);
        assert!((both.log_g() - one.log_g()).abs() < 1e-9);
        assert_eq!((both.n, both.bad, both.verdict(0.95).decided), (one.n, one.bad, one.verdict(0.95).decided));
    }

    #[test]
    fn clean_executions_are_worth_the_same_at_once() {
        let (mut at_once, mut by_one) = (Gate::new(Limit::new(0.01).unwrap()), Gate::new(Limit::new(0.01).unwrap()));
        for (rows, count, fraction) in [(4, 100, 0.5), (40, 250, 0.0), (1, 3, 1.0), (0, 7, 0.0)] {
            at_once.clean(rows, count);
            (0..count).for_each(|_| by_one.executed(rows, 0.0));
            at_once.executed(rows, fraction);
            by_one.executed(rows, fraction);
        }
        assert!((at_once.log_g() - by_one.log_g()).abs() < 1e-9);
        let (at_once, by_one) = (at_once.verdict(0.95), by_one.verdict(0.95));
        assert_eq!((at_once.n, at_once.bad, at_once.value), (by_one.n, by_one.bad, by_one.value));
    }
}
