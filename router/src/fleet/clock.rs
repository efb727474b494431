//! The store's clock, as a replica without one of its own that can be trusted knows it.

use std::time::Duration;

/// How long a tick is, on the store's clock.
pub const TICK: Duration = Duration::from_millis(250);

/// How fast the two clocks may drift apart: 200 millionths. Quartz is within 100, and so is what NTP slews, mostly.
const DRIFT: f64 = 200e-6;

/// How far the store's clock is ahead of a monotonic one of this process, learned from each write.
///
/// A write that began at `before` and ended at `after` was given the store's time at some moment between the two. So the
/// offset lies in an interval as long as the write took; all of them have to hold at once, but for what the clocks have
/// drifted since (Cristian, "Probabilistic clock synchronization", 1989; Marzullo's intersection). The local wall clock
/// is never read: it may jump.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock(Option<Known>);

/// In seconds.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Between which the offset was at `at`, on the monotonic clock, less `base`.
    low: f64,
    high: f64,
    at: Duration,
    /// The store's time of the first answer, so that floats keep microseconds.
    base: Duration,
}

impl Clock {
    /// A write took from `before` to `after` on the monotonic clock, since a moment of the caller's choice, and the store's
    /// clock said `store`, since a moment of its own. Where that contradicts what is known, the store's clock was set, or
    /// the store is another, and what was known is forgotten.
    pub fn learn(&mut self, before: Duration, store: Duration, after: Duration) {
        if after < before {
            return;
        }
        let base = self.0.map_or(store, |known| known.base);
        let ahead = seconds(store, base);
        let (low, high) = (ahead - after.as_secs_f64(), ahead - before.as_secs_f64());
        let both = self.0.map(|known| known.widened(after)).and_then(|(known_low, known_high)| {
            let both = (low.max(known_low), high.min(known_high));
            (both.0 <= both.1).then_some(both)
        });
        let (low, high) = both.unwrap_or((low, high));
        self.0 = Some(Known { low, high, at: after, base });
    }

    /// The store's time at the moment `now` of the monotonic clock, once something was learned.
    #[must_use]
    pub fn now(&self, now: Duration) -> Option<Duration> {
        let known = self.0?;
        let (low, high) = known.widened(now);
        let ahead = f64::midpoint(low, high) + now.as_secs_f64();
        let change = Duration::try_from_secs_f64(ahead.abs()).ok()?;
        if ahead < 0.0 { known.base.checked_sub(change) } else { known.base.checked_add(change) }
    }

    /// By how much that may be wrong.
    #[must_use]
    pub fn error(&self, now: Duration) -> Option<Duration> {
        let (low, high) = self.0?.widened(now);
        Duration::try_from_secs_f64((high - low) / 2.0).ok()
    }
}

impl Known {
    fn widened(&self, now: Duration) -> (f64, f64) {
        let drift = DRIFT * now.saturating_sub(self.at).as_secs_f64();
        (self.low - drift, self.high + drift)
    }
}

fn seconds(time: Duration, since: Duration) -> f64 {
    time.saturating_sub(since).as_secs_f64() - since.saturating_sub(time).as_secs_f64()
}

/// Says when a tick has begun, each once. It never goes back, though the estimate of the clock may.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ticks {
    last: u64,
}

impl Ticks {
    /// The tick to report, at `store` on the store's clock: all up to now is before it. None while the last one is not
    /// over, and none that is no multiple of `every`. One that was missed is left out: nobody knows what was dispatched by
    /// then.
    ///
    /// A replica whose store is too slow for each tick reports each second one, or each fourth, and so on by powers of two:
    /// then there are ticks that all report, however slow each of them is.
    pub fn due(&mut self, store: Duration, every: u64) -> Option<u64> {
        let tick = u64::try_from(store.as_nanos() / TICK.as_nanos()).ok()?;
        let due = tick > self.last && tick.is_multiple_of(every.max(1));
        self.last = self.last.max(tick);
        due.then_some(tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// The store's time at 0 on the monotonic clock.
    const STORE: u64 = 1_795_000_000_000;

    fn wrong_by(clock: &Clock, now: u64, truth: u64) -> Duration {
        clock.now(ms(now)).unwrap().abs_diff(ms(truth))
    }

    #[test]
    fn one_write_is_enough_and_a_faster_one_is_better() {
        let mut clock = Clock::default();
        assert_eq!((clock.now(ms(5)), clock.error(ms(5))), (None, None));
        // The store read its clock as soon as it was asked: 40 ms at most, half of it assumed.
        clock.learn(ms(1000), ms(STORE + 1000), ms(1040));
        assert!(wrong_by(&clock, 1040, STORE + 1040).abs_diff(ms(20)) < Duration::from_micros(1));
        assert!(clock.error(ms(1040)).unwrap().abs_diff(ms(20)) < Duration::from_micros(1));
        // And just before it answered.
        clock.learn(ms(1100), ms(STORE + 1138), ms(1140));
        assert!(wrong_by(&clock, 1140, STORE + 1140) < ms(2));
        clock.learn(ms(2000), ms(STORE + 2001), ms(2002));
        assert!(wrong_by(&clock, 2002, STORE + 2002) < ms(1));
        // A slow one after it spoils nothing.
        clock.learn(ms(3000), ms(STORE + 3001), ms(9000));
        assert!(wrong_by(&clock, 9000, STORE + 9000) < ms(3));
        // Nor one that ended before it began.
        clock.learn(ms(9500), ms(5), ms(9400));
        assert!(wrong_by(&clock, 9500, STORE + 9500) < ms(3));
    }

    #[test]
    fn drift_is_followed() {
        let (mut clock, mut worst) = (Clock::default(), Duration::ZERO);
        for second in 1..4000_u64 {
            // The store's clock is fast by 100 millionths.
            let store = |at: u64| Duration::from_micros(STORE * 1000 + at * 1000 + at / 10);
            let at = second * 1000;
            clock.learn(ms(at), store(at + 7), ms(at + 10));
            let now = at + 10;
            worst = worst.max(clock.now(ms(now)).unwrap().abs_diff(store(now)));
            assert!(clock.error(ms(now)).unwrap() <= ms(6));
        }
        assert!(worst <= ms(6), "{worst:?}");
    }

    #[test]
    fn a_store_whose_clock_was_set_is_believed() {
        for set in [STORE - 3_600_000, STORE + 3_600_000] {
            let mut clock = Clock::default();
            clock.learn(ms(1000), ms(STORE + 1005), ms(1010));
            clock.learn(ms(2000), ms(set + 2005), ms(2010));
            assert!(wrong_by(&clock, 2010, set + 2010) < ms(6));
        }
    }

    #[test]
    fn ticks_come_once_and_never_back() {
        let mut ticks = Ticks::default();
        assert_eq!(ticks.due(ms(STORE), 1), Some(STORE / 250));
        assert_eq!(ticks.due(ms(STORE + 249), 1), None);
        assert_eq!(ticks.due(ms(STORE + 250), 1), Some(STORE / 250 + 1));
        assert_eq!(ticks.due(ms(STORE), 1), None, "the estimate went back");
        assert_eq!(ticks.due(ms(STORE + 499), 1), None);
        assert_eq!(ticks.due(ms(STORE + 1100), 1), Some(STORE / 250 + 4), "those between are left out");
    }

    #[test]
    fn slow_replicas_have_ticks_in_common() {
        let (mut slow, mut slower) = (Ticks::default(), Ticks::default());
        let due = |ticks: &mut Ticks, every: u64, from: u64, step: u64| -> Vec<u64> {
            (0..100).filter_map(|turn| ticks.due(ms(STORE + from + turn * step), every)).collect()
        };
        let (slow, slower) = (due(&mut slow, 2, 30, 240), due(&mut slower, 4, 470, 245));
        assert!(slow.len() > 40 && slower.len() > 20);
        assert!(slower.iter().filter(|tick| slow.contains(tick)).count() > 20, "{slow:?} {slower:?}");
    }
}
