//! Limits on a share of rows.

use std::fmt;

/// The share of bad rows that is still allowed: above 0, at most 0.4.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Limit(f64);

/// A share that is no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadLimit(pub f64);

impl Limit {
    /// The largest. Bets are placed from twice the limit upwards, and need room below 0.97.
    pub const MOST: f64 = 0.4;

    /// A limit of `share`, in 0 to 1: 0.01 is one row in a hundred.
    pub fn new(share: f64) -> Result<Self, BadLimit> {
        if share > 0.0 && share <= Self::MOST { Ok(Self(share)) } else { Err(BadLimit(share)) }
    }

    /// The share, 0 to 1.
    #[must_use]
    pub const fn share(self) -> f64 {
        self.0
    }
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a share above 0 and at most {}, got {}", Limit::MOST, self.0)
    }
}

impl std::error::Error for BadLimit {}

/// The limit for "the canary's quantile is no slower than stable's", where stable's `quantile` (0.95 for p95) was
/// measured over `n` requests: `p0 = (1 - q) + 1.64 sqrt(q (1 - q) / n)`, the share of canary requests that may be
/// slower than it, given that the quantile itself may have been measured too low (one-sided 95 %, normal
/// approximation: this comparison is approximate).
pub fn latency_limit(quantile: f64, n: u64) -> Result<Limit, BadLimit> {
    Limit::new((1.0 - quantile) + 1.64 * (quantile * (1.0 - quantile) / crate::num::float(n)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_above_zero_and_at_most_two_fifths() {
        for share in [1e-9, 0.01, 0.4] {
            assert_eq!(Limit::new(share).unwrap().share().to_bits(), share.to_bits());
        }
        for share in [0.0, -0.1, 0.41, 1.0, f64::NAN, f64::INFINITY] {
            assert!(Limit::new(share).is_err(), "{share}");
        }
        assert_eq!(BadLimit(0.5).to_string(), "expected a share above 0 and at most 0.4, got 0.5");
    }

    #[test]
    fn latency_against_stable_allows_for_what_is_not_known_of_stable() {
        assert!((latency_limit(0.95, 200).unwrap().share() - 0.075_274).abs() < 1e-6);
        assert!((latency_limit(0.95, 1_000_000_000).unwrap().share() - 0.05).abs() < 1e-4);
        assert!(latency_limit(0.95, 0).is_err());
        assert!(latency_limit(0.5, 200).is_err());
    }
}
