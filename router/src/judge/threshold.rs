//! The plain judge: a share in a window, compared with a limit.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::{evidence::Counts, num::float};

/// Parts that a window is counted in: its edge is blurred by one sixtieth, and memory is bounded.
const PARTS: f64 = 60.0;

/// Demotes when more than `max` of the rows in the last `window` seconds were bad, and there were at least
/// `min_requests` of them. What people know from other tools, and what it costs: it looks again and again, and each look
/// is another chance to be wrong. At 10 requests/s that fail at half the limit of 1 %, a window of 60 s demotes a good
/// canary within 30 minutes in 999 of 1,000 runs; the sequential judge in none (examples/simulate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    window: f64,
    min_requests: u64,
    max: f64,
    parts: VecDeque<Part>,
    total: Part,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Part {
    /// When it began, in seconds.
    at: f64,
    rows: u64,
    bad_rows: u64,
    executions: u64,
    bad: u64,
}

impl Part {
    const fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.bad_rows += other.bad_rows;
        self.executions += other.executions;
        self.bad += other.bad;
    }

    const fn remove(&mut self, other: &Self) {
        self.rows -= other.rows;
        self.bad_rows -= other.bad_rows;
        self.executions -= other.executions;
        self.bad -= other.bad;
    }
}

impl Threshold {
    /// A window of `window` seconds, at least `min_requests` rows in it, and at most a share of `max` (0 to 1) bad.
    #[must_use]
    pub fn new(window: f64, min_requests: u64, max: f64) -> Self {
        Self { window, min_requests, max, parts: VecDeque::new(), total: Part::default() }
    }

    /// An execution of `rows` rows ended at `now`, `bad_rows` of them badly. `now` never goes back.
    pub fn executed(&mut self, rows: u32, bad_rows: u32, now: f64) {
        let mut counts = Counts::default();
        counts.record(rows, bad_rows);
        self.counted(&counts, now);
    }

    /// So much more was counted by `now`, which never goes back.
    pub fn counted(&mut self, more: &Counts, now: f64) {
        self.forget(now);
        let Counts { rows, bad_rows, executions, bad_executions: bad } = *more;
        let one = Part { at: now, rows, bad_rows, executions, bad };
        self.total.add(&one);
        match self.parts.back_mut() {
            Some(last) if now - last.at < self.window / PARTS => last.add(&one),
            _ => self.parts.push_back(one),
        }
    }

    fn forget(&mut self, now: f64) {
        while let Some(first) = self.parts.pop_front_if(|first| now - first.at >= self.window) {
            self.total.remove(&first);
        }
    }

    /// The judgement at `now`. `evidence` and `enough` are rows: the judge has no other.
    pub fn verdict(&mut self, now: f64) -> Verdict {
        self.forget(now);
        let Part { rows, bad_rows, executions, bad, .. } = self.total;
        let value = if rows == 0 { 0.0 } else { float(bad_rows) / float(rows) };
        Verdict {
            value,
            limit: self.max,
            evidence: float(rows),
            enough: float(self.min_requests),
            n: executions,
            bad,
            decided: rows >= self.min_requests && value > self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_in_a_window_is_compared() {
        let mut judge = Threshold::new(60.0, 20, 0.1);
        judge.executed(10, 10, 0.0);
        assert!(!judge.verdict(0.0).decided, "too few");
        judge.executed(9, 0, 1.0);
        judge.executed(1, 0, 30.0);
        let verdict = judge.verdict(30.0);
        assert!(verdict.decided);
        assert_eq!((verdict.value, verdict.limit, verdict.n, verdict.bad), (0.5, 0.1, 3, 1));
        let verdict = judge.verdict(60.0);
        assert!(!verdict.decided, "the bad ones have left the window");
        assert_eq!((verdict.value, verdict.n), (0.0, 2));
        assert_eq!(judge.verdict(1000.0).n, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut judge = Threshold::new(60.0, 20, 0.1);
        (0..100_000_u32).for_each(|n| judge.executed(1, 0, f64::from(n) / 1000.0));
        assert!(judge.parts.len() <= 61, "{}", judge.parts.len());
        assert!(judge.verdict(100.0).n >= 58_000);
    }
}
