//! What requests of a track came to, counted by slot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use perch_router::sketch::{Sketch, Tally};
use perch_router::slot::{Count, Slot};
use serde::{Deserialize, Serialize};

/// Counts of one track on one slot. Aligned so that no two threads write to one line of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
    bad_rows: AtomicU64,
    slow_rows: Vec<AtomicU64>,
    latencies: Tally,
}

/// Counts of one track.
#[derive(Debug)]
pub struct TrackCounts(Box<[Shard]>);

/// Their sums.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Requests that have ended, overrides and fallbacks apart.
    pub requests: u64,
    /// Their rows.
    pub rows: u64,
    /// Requests that failed: an error, a NaN, no answer in time.
    pub failed: u64,
    /// Their rows.
    pub bad_rows: u64,
    /// Rows slower than the limit, by metric.
    pub slow_rows: Vec<u64>,
}

impl Totals {
    /// Adds what another replica has counted.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.rows += other.rows;
        self.failed += other.failed;
        self.bad_rows += other.bad_rows;
        self.slow_rows.resize(self.slow_rows.len().max(other.slow_rows.len()), 0);
        for (sum, more) in self.slow_rows.iter_mut().zip(&other.slow_rows) {
            *sum += more;
        }
    }
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its rows.
    pub rows: u32,
    /// Those that failed.
    pub bad: u32,
    /// Rows that shared an execution, as far as is known: all, or 1 where each is a text by itself.
    pub each: u32,
    /// From submission to result.
    pub took: Duration,
}

impl TrackCounts {
    /// For so many slots and metrics.
    #[must_use]
    pub fn new(slots: usize, metrics: usize) -> Self {
        let slow_rows = || (0..metrics).map(|_| AtomicU64::new(0)).collect();
        Self((0..slots).map(|_| Shard { slow_rows: slow_rows(), ..Shard::default() }).collect())
    }

    /// A request has ended.
    pub fn ended(&self, slot: Slot, ended: Ended) {
        let Some(shard) = self.0.get(slot.index()) else { return };
        shard.requests.count(1, slot);
        shard.rows.count(ended.rows.into(), slot);
        shard.latencies.record(ended.took, slot);
        if ended.bad > 0 {
            shard.failed.count(1, slot);
            shard.bad_rows.count(ended.bad.into(), slot);
        }
    }

    /// `rows` rows were slower than the limit of the metric at this place.
    pub fn slow(&self, slot: Slot, metric: usize, rows: u32) {
        let shard = self.0.get(slot.index());
        if let Some(count) = shard.and_then(|shard| shard.slow_rows.get(metric)) {
            count.count(rows.into(), slot);
        }
    }

    /// All slots' counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |count: fn(&Shard) -> &AtomicU64| self.0.iter().map(|shard| count(shard).load(Relaxed)).sum();
        let metrics = self.0.first().map_or(0, |shard| shard.slow_rows.len());
        let slow = |metric: usize| self.0.iter().map(|shard| shard.slow_rows[metric].load(Relaxed)).sum();
        Totals {
            requests: sum(|shard| &shard.requests),
            rows: sum(|shard| &shard.rows),
            failed: sum(|shard| &shard.failed),
            bad_rows: sum(|shard| &shard.bad_rows),
            slow_rows: (0..metrics).map(slow).collect(),
        }
    }

    /// Latencies since the beginning.
    #[must_use]
    pub fn latencies(&self) -> Sketch {
        Tally::read(self.0.iter().map(|shard| &shard.latencies))
    }
}
