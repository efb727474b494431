//! How many requests stable had in the last minute: below 200 of them its latency is not compared with.

use std::collections::VecDeque;

const WINDOW: f64 = 60.0;
const LEAST: f64 = 200.0;

/// Requests of stable, by time.
pub(super) struct LastMinute {
    /// Until when, in seconds, and how many in a second.
    rates: VecDeque<(f64, f64)>,
}

impl LastMinute {
    /// Stable alone, until zero.
    pub fn new(rate: f64) -> Self {
        Self { rates: VecDeque::from([(0.0, rate)]) }
    }

    /// So many a second until then; times never go back.
    pub fn add(&mut self, until: f64, rate: f64) {
        #[expect(clippy::float_cmp, reason = "the same rate again, or not")]
        match self.rates.back_mut() {
            Some(last) if last.1 == rate => last.0 = until,
            _ => self.rates.push_back((until, rate)),
        }
        while self.rates.front().is_some_and(|first| first.0 <= until - WINDOW) {
            self.rates.pop_front();
        }
    }

    /// Whether there were enough.
    pub fn is_enough(&self, now: f64) -> bool {
        let (mut from, mut sum) = (now - WINDOW, 0.0);
        for &(until, rate) in &self.rates {
            sum += rate * (until - from).max(0.0);
            from = from.max(until);
        }
        sum >= LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_counted() {
        let mut stable = LastMinute::new(10.0);
        assert!(stable.is_enough(0.0));
        stable.add(30.0, 0.0);
        stable.add(39.0, 0.0);
        assert!(stable.is_enough(39.0), "210 of 21 s");
        stable.add(41.0, 0.0);
        assert!(!stable.is_enough(41.0), "190 of 19 s");
        stable.add(200.0, 3.4);
        assert!(stable.is_enough(200.0));
        assert_eq!(stable.rates.len(), 1);
        assert!(!LastMinute::new(3.3).is_enough(0.0));
    }
}
