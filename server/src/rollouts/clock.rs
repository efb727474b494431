//! The clocks of rollouts: seconds since 1970.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the time of day once, and counts from there: it never goes back while the process lives. What this process
/// counts and times by itself goes by it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    unix: f64,
    began: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { unix: unix.as_secs_f64(), began: Instant::now() }
    }
}

impl Clock {
    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> f64 {
        let passed = |to: Instant, from: Instant| to.saturating_duration_since(from).as_secs_f64();
        self.unix + passed(moment, self.began) - passed(self.began, moment)
    }
}

/// The clock that states are stored by: the store's, where several replicas share one, and else this process's. Clones
/// are the same.
#[derive(Debug, Clone, Default)]
pub struct StateClock {
    own: Clock,
    /// How far the store's is ahead of it, in microseconds.
    ahead: Arc<AtomicI64>,
}

impl StateClock {
    /// This process's clock.
    #[must_use]
    pub const fn own(&self) -> Clock {
        self.own
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.at(Instant::now())
    }

    /// The same of another moment.
    #[must_use]
    pub fn at(&self, moment: Instant) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a difference of clocks, far below 2^52 microseconds")]
        let ahead = self.ahead.load(Relaxed) as f64;
        self.own.at(moment) + ahead / 1e6
    }

    /// The store's clock says `store` now, in seconds since 1970.
    pub fn set(&self, store: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let ahead = ((store - self.own.now()) * 1e6) as i64;
        self.ahead.store(ahead, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_by_the_stores_clock() {
        let clock = StateClock::default();
        assert!((clock.now() - clock.own().now()).abs() < 1.0);
        let other = clock.clone();
        clock.set(clock.own().now() - 600.0);
        let earlier = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        assert!((other.now() - clock.own().now() + 600.0).abs() < 1.0);
        assert!((other.at(earlier) - clock.own().now() + 660.0).abs() < 1.0);
    }
}
