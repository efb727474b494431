//! Latency, as histograms that add up: shown, not judged.
//!
//! Fixed buckets of our own, where `sketches-ddsketch` would do too, because they are one table of 3 kB whatever is
//! measured (the crate's grows with the values), need no logarithm to record (a few ns on the path of every request),
//! and add up bucket by bucket without a way to fail (the crate's refuse other settings). Buckets as in `HdrHistogram`:
//! 32 to each power of two.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    minute::Cumulative,
    num::float,
    slot::{Count, Slot},
};

/// Buckets to each power of two, as a power of two: a value is known to 1/64 of itself.
const BITS: u32 = 5;
const SUB: u64 = 1 << BITS;
/// Values from 2^27 µs (134 s) on are counted in the last bucket.
const TOP: u32 = 27;
const BUCKETS: usize = ((TOP - BITS + 1) as usize) << BITS;

/// A histogram of latencies from 1 µs to 134 s, with quantiles within 1.6 %.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u32)>", into = "Vec<(u16, u32)>")]
pub struct Sketch {
    counts: Box<[u32]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into() }
    }
}

impl Sketch {
    /// One request took so long.
    pub fn record(&mut self, latency: Duration) {
        self.count(bucket(latency), 1);
    }

    fn count(&mut self, bucket: usize, count: u32) {
        if let Some(found) = self.counts.get_mut(bucket) {
            *found = found.saturating_add(count);
        }
    }

    /// Adds another's counts to these.
    pub fn add(&mut self, other: &Self) {
        other.counts.iter().enumerate().for_each(|(bucket, count)| self.count(bucket, *count));
    }

    /// Requests.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The smallest latency that at least a share of `quantile` (0 to 1) of the requests did not pass, within 1.6 %.
    /// None without requests.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let (rank, mut seen) = (quantile * float(self.n()), 0);
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen > 0 && float(seen) >= rank
        });
        found.map(middle)
    }
}

/// Where a latency is counted. Below 32 µs each has a bucket of its own.
fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min((1 << TOP) - 1);
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    // Below 2^10: the top bits, 32 to 63, plus 32 for each shift.
    usize::try_from(u64::from(shift) * SUB + (micros >> shift)).unwrap_or(0)
}

/// The middle of a bucket.
fn middle(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let shift = (bucket / SUB).saturating_sub(1);
    let low = (bucket - shift * SUB) << shift;
    Duration::from_micros(low + ((1 << shift) >> 1))
}

impl From<Vec<(u16, u32)>> for Sketch {
    /// From bucket and count; buckets that there are none are left out.
    fn from(counts: Vec<(u16, u32)>) -> Self {
        let mut sketch = Self::default();
        counts.into_iter().for_each(|(bucket, count)| sketch.count(bucket.into(), count));
        sketch
    }
}

impl From<Sketch> for Vec<(u16, u32)> {
    fn from(sketch: Sketch) -> Self {
        (0..).zip(sketch.counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// A sketch that threads record into while others read it. It only grows, and wraps at 2^32.
#[derive(Debug)]
pub struct Tally {
    counts: Box<[AtomicU32]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Tally {
    /// One request took so long, on a thread that counts on `slot`.
    pub fn record(&self, latency: Duration, slot: Slot) {
        if let Some(count) = self.counts.get(bucket(latency)) {
            count.count(1, slot);
        }
    }

    /// The sum of several.
    #[must_use]
    pub fn read<'t>(tallies: impl IntoIterator<Item = &'t Self>) -> Sketch {
        let mut sketch = Sketch::default();
        for tally in tallies {
            for (sum, count) in sketch.counts.iter_mut().zip(&tally.counts) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
        }
        sketch
    }
}

impl Cumulative for Sketch {
    fn since(&self, before: &Self) -> Self {
        let counts = self.counts.iter().zip(&before.counts).map(|(now, before)| now.wrapping_sub(*before));
        Self { counts: counts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn every_latency_is_known_to_a_sixty_fourth() {
        let mut last = 0;
        let mut value = 1_u64;
        while value < 1 << TOP {
            let found = bucket(micros(value));
            assert!(found >= last && found < BUCKETS);
            let off = middle(found).as_micros().abs_diff(value.into());
            assert!(u64::try_from(off).unwrap() * 64 <= value, "{value}: off by {off}");
            (last, value) = (found, value + 1 + value / 100);
        }
        assert_eq!(bucket(micros((1 << TOP) - 1)), BUCKETS - 1);
        assert_eq!((bucket(Duration::MAX), bucket(Duration::ZERO)), (BUCKETS - 1, 0));
    }

    #[test]
    fn quantiles() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantile(0.5), None);
        (1..=1000).for_each(|millis| sketch.record(Duration::from_millis(millis)));
        for (quantile, millis) in [(0.0, 1.0), (0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = sketch.quantile(quantile).unwrap().as_secs_f64() * 1000.0;
            assert!((found - millis).abs() <= millis / 60.0, "{quantile}: {found} for {millis}");
        }
    }

    #[test]
    fn sketches_add_up_and_survive_the_wire() {
        let (mut all, mut shards) = (Sketch::default(), [Sketch::default(), Sketch::default(), Sketch::default()]);
        for n in 0..5000_u32 {
            let latency = micros(u64::from(n.wrapping_mul(2_654_435_761) % 900_000));
            all.record(latency);
            shards[n as usize % 3].record(latency);
        }
        let mut sum = Sketch::default();
        shards.iter().for_each(|shard| sum.add(shard));
        assert_eq!((&sum, sum.n()), (&all, 5000));
        let wire = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Sketch>(&wire).unwrap(), sum);
        assert_eq!(serde_json::from_str::<Sketch>("[[65000, 1]]").unwrap().n(), 0);
    }

    #[test]
    fn threads_record_into_one_tally() {
        let tallies = [Tally::default(), Tally::default()];
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let tally = &tallies[usize::try_from(thread % 2).unwrap()];
                scope.spawn(move || (0..10_000).for_each(|n| tally.record(micros(n * 7 + thread), Slot::shared(0))));
            }
        });
        let first = Tally::read(&tallies);
        assert_eq!(first.n(), 40_000);
        tallies[0].record(micros(5), Slot::own(0));
        let since = Tally::read(&tallies).since(&first);
        assert_eq!((since.n(), since.quantile(0.5)), (1, Some(micros(5))));
    }
}
