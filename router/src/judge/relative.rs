//! The sequential test against stable.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{num::log_sum_exp, track::Track};

/// How many times stable's rate the alternatives are, each over the limit `rho`.
const THETA: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Tests `p_canary <= rho * p_stable` at each time.
///
/// Given that a row of either track is bad, it is the canary's with probability at most `rho w / (rho w + 1 - w)`,
/// where `w` is the router's weight when the row was routed; the alternative `theta` says
/// `theta rho w / (theta rho w + 1 - w)`. E is the mean over the six alternatives of products, over executions, of
/// `1 + Σ (ratio of the two - 1) / largest` over the bad rows. Exact for the random split, good for the balanced one,
/// and not for the hash split, whose few heavy keys are no coins. Raw failures of both tracks count; overrides and
/// fallbacks do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relative {
    rho: f64,
    log: [f64; THETA.len()],
    largest: u32,
}

/// A ratio that is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadRatio(pub f64);

impl Relative {
    /// A test against `rho` times stable's rate, above 0, that has seen nothing.
    pub fn new(rho: f64) -> Result<Self, BadRatio> {
        if rho > 0.0 && rho.is_finite() {
            Ok(Self { rho, log: [(1.0_f64 / 6.0).ln(); THETA.len()], largest: 1 })
        } else {
            Err(BadRatio(rho))
        }
    }

    /// An execution of `rows` rows ran on `track`; `bad_weights` has, for each of its rows that failed, the canary's
    /// weight (0 to 1) when that row was routed.
    pub fn executed(&mut self, track: Track, rows: u32, bad_weights: &[f64]) {
        self.largest = self.largest.max(rows);
        if bad_weights.is_empty() {
            return;
        }
        for (log, theta) in self.log.iter_mut().zip(THETA) {
            let sum: f64 =
                bad_weights.iter().map(|weight| ratio(track, self.rho, theta, weight.clamp(0.0, 1.0)) - 1.0).sum();
            *log += (sum / f64::from(self.largest)).ln_1p();
        }
    }

    /// log E, to the base e.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.log.into_iter())
    }
}

/// How much likelier a bad row on `track` is under the alternative than at the limit.
fn ratio(track: Track, rho: f64, theta: f64, weight: f64) -> f64 {
    let limit = rho * weight + 1.0 - weight;
    let alternative = theta * rho * weight + 1.0 - weight;
    match track {
        Track::Canary => theta * limit / alternative,
        Track::Stable => limit / alternative,
    }
}

impl fmt::Display for BadRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a ratio above 0, got {}", self.0)
    }
}

impl std::error::Error for BadRatio {}
