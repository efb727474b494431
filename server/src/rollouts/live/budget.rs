//! How many requests may fall back to stable: a bucket that fills with the requests that come.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// What one fallback takes. Thousandths, so that a fifth of a request can be counted.
const ONE: i64 = 1000;

/// A bucket of `burst` fallbacks. Requests only take; it is filled on the tick.
#[derive(Debug)]
pub struct Budget {
    left: AtomicI64,
    burst: i64,
    percent: f64,
    exhausted: AtomicU64,
}

impl Budget {
    /// A full bucket that gains `percent` of a fallback for each request.
    #[must_use]
    pub fn new(burst: u32, percent: f64) -> Self {
        let burst = i64::from(burst) * ONE;
        Self { left: AtomicI64::new(burst), burst, percent, exhausted: AtomicU64::new(0) }
    }

    /// Takes one; false when there is none.
    pub fn take(&self) -> bool {
        let taken = self.left.try_update(Relaxed, Relaxed, |left| (left >= ONE).then_some(left - ONE)).is_ok();
        if !taken {
            self.exhausted.fetch_add(1, Relaxed);
        }
        taken
    }

    /// So many more requests came.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "far below 2^52, and saturates")]
    pub fn refill(&self, requests: u64) {
        let gain = (requests as f64 * self.percent / 100.0 * ONE as f64) as i64;
        self.left.update(Relaxed, Relaxed, |left| left.saturating_add(gain).min(self.burst));
    }

    /// Fallbacks that are left, how many there are at most, and how often there was none.
    #[must_use]
    pub fn state(&self) -> (i64, i64, u64) {
        (self.left.load(Relaxed) / ONE, self.burst / ONE, self.exhausted.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_share() {
        let budget = Budget::new(3, 20.0);
        assert_eq!((0..5).filter(|_| budget.take()).count(), 3);
        budget.refill(4);
        assert!(!budget.take(), "four fifths of one");
        budget.refill(1);
        assert!(budget.take());
        budget.refill(1_000_000);
        assert_eq!(budget.state(), (3, 3, 3));
    }
}
