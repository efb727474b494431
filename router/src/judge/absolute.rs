//! The sequential test against a fixed limit.

use super::{Limit, MOST_ROWS, Verdict, mixture::Mixture};
use crate::num::float;

/// Tests "given the past, the expected share of bad rows is at most p0".
///
/// Execution i with `m_i` rows weighs `w_i = min(m_i, 32) / (largest so far)`. E is a mixture of products of
/// `1 + l_k w_i (f_i - p0)`, where `f_i` is the fraction of its rows that went badly. Debit at dispatch, credit when
/// bad: each product is multiplied by `1 - l_k p0 w_i` when an execution starts and corrected when rows turn out bad;
/// nothing happens on success. Otherwise failures, being faster than successes, would be counted first, and a healthy
/// canary be demoted. Clean executions that never end only cost evidence.
///
/// This is the judge for one caller at a time; [`super::Chain`] is the same over counts from many threads.
#[derive(Debug, Clone)]
pub struct Absolute {
    mixture: Mixture,
    largest: u32,
    /// Executions dispatched and not ended.
    flight: u64,
    /// Those of them that were dispatched before the pending epoch opened.
    before: u64,
    dispatched: u64,
    rows: u64,
    bad: u64,
    bad_rows: f64,
}

/// One execution in flight, given out by [`Absolute::dispatch`] and to be given back to [`Absolute::end`].
#[derive(Debug)]
#[must_use = "an execution that is never ended holds back later epochs"]
pub struct Execution {
    rows: u32,
    weight: f64,
    fraction: f64,
    /// Epochs that had been opened when it was dispatched.
    epochs: u64,
}

impl Absolute {
    /// A test against `limit` (p0) that has seen nothing.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        let mixture = Mixture::new(limit);
        Self { mixture, largest: 0, flight: 0, before: 0, dispatched: 0, rows: 0, bad: 0, bad_rows: 0.0 }
    }

    /// An execution of `rows` rows starts (none counts as one): it is debited as if it were going to be clean.
    pub fn dispatch(&mut self, rows: u32) -> Execution {
        let rows = rows.max(1);
        let counted = rows.min(MOST_ROWS);
        self.largest = self.largest.max(counted);
        let weight = f64::from(counted) / f64::from(self.largest);
        self.mixture.debit(weight, 1, true);
        self.flight += 1;
        self.dispatched += 1;
        self.rows += u64::from(rows);
        Execution { rows, weight, fraction: 0.0, epochs: self.mixture.mass.epochs }
    }

    /// `fraction` of its rows (0 to 1) are known to be bad: an error, an invalid output, or the timer passed the limit.
    /// May be told again with more; less, or no number, changes nothing.
    pub fn bad_so_far(&mut self, execution: &mut Execution, fraction: f64, now: f64) {
        let (known, fraction) = (execution.fraction, fraction.min(1.0));
        if fraction.is_nan() || fraction <= known {
            return;
        }
        if known == 0.0 {
            self.bad += 1;
        }
        self.bad_rows += (fraction - known) * f64::from(execution.rows);
        self.mixture.credit(execution.weight, known, fraction, self.is_young(execution));
        execution.fraction = fraction;
        if self.mixture.mass.open(now) {
            self.before = self.flight;
        }
    }

    /// The execution has ended.
    #[expect(clippy::needless_pass_by_value, reason = "it ends once")]
    pub fn end(&mut self, execution: Execution) {
        self.flight = self.flight.saturating_sub(1);
        if self.mixture.mass.pending.is_some() && !self.is_young(&execution) {
            self.before = self.before.saturating_sub(1);
            if self.before == 0 {
                self.mixture.mass.fold();
            }
        }
    }

    /// Whether it was dispatched after the youngest epoch opened. Asked only for the pending one.
    const fn is_young(&self, execution: &Execution) -> bool {
        execution.epochs == self.mixture.mass.epochs
    }

    /// log E, to the base e.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.mixture.mass.log_e()
    }

    /// Executions with bad rows so far.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// Demote when E has reached the threshold (`enough`: [`super::threshold`]) and at least `min_failures` executions
    /// had bad rows.
    #[must_use]
    pub fn verdict(&self, enough: f64, min_failures: u64) -> Verdict {
        let evidence = self.log_e();
        Verdict {
            value: if self.rows == 0 { 0.0 } else { self.bad_rows / float(self.rows) },
            limit: self.mixture.p0(),
            evidence,
            enough,
            n: self.dispatched,
            bad: self.bad,
            decided: evidence >= enough && self.bad >= min_failures,
        }
    }
}
