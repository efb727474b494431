//! One replica of several that try the same canary: its place among them, and what it knows of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use perch_router::fleet::{Pool, Report};
use perch_router::judge::Gate;
use perch_router::weight::Weight;

use super::{Judge, Totals};

/// The place of this process in a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// The name that it has there, and nobody has had before.
    pub boot: String,
    /// Which of the tests that are made alone is its own.
    pub number: u32,
    /// The pool as it was when it joined.
    pub pool: Pool,
    /// What the others had counted.
    pub others: Others,
    /// Whether its own policy file is another than the rollout's.
    pub other_policy: bool,
}

/// What the others have counted, as far as they have said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Others {
    /// Executions of the canary.
    pub executions: u64,
    /// The last minute of stable and canary, of those who live.
    pub minute: [Totals; 2],
    /// Gates, with the weight that they count since.
    pub gates: Vec<(Weight, BTreeMap<String, Gate>)>,
}

impl Others {
    /// The gates of a metric that count since the weight was set to `weight`.
    pub fn gates_of<'a>(&'a self, metric: &'a str, weight: Weight) -> impl Iterator<Item = &'a Gate> {
        self.gates.iter().filter(move |(since, _)| *since == weight).filter_map(move |(_, gates)| gates.get(metric))
    }
}

/// A rollout's part in a fleet.
pub struct Together {
    pub(super) seat: Seat,
    others: Mutex<Arc<Others>>,
    /// As of which tick the pool was heard of, and at which this replica first looked.
    pool: Mutex<(u64, u64)>,
}

impl Together {
    pub(super) fn new(seat: Seat) -> Self {
        let (pool, others) = ((seat.pool.tick(), 0), Arc::new(seat.others.clone()));
        Self { seat, others: Mutex::new(others), pool: Mutex::new(pool) }
    }

    /// The place of this process.
    #[must_use]
    pub const fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The name of this process, when it has begun for so many times.
    fn boot(&self, births: u32) -> String {
        if births == 0 { self.seat.boot.clone() } else { format!("{}.{births}", self.seat.boot) }
    }

    /// Whether a boot is this process.
    #[must_use]
    pub fn is_own(&self, boot: &str) -> bool {
        boot.strip_prefix(&self.seat.boot).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// What the others have counted.
    #[must_use]
    pub fn others(&self) -> Arc<Others> {
        self.others.lock().clone()
    }

    /// They have said more.
    pub fn set_others(&self, others: Others) {
        *self.others.lock() = Arc::new(others);
    }

    /// As of which tick the pool was heard of.
    #[must_use]
    pub fn pool_tick(&self) -> u64 {
        self.pool.lock().0
    }

    /// How many ticks what is known of the pool is behind `tick`.
    #[must_use]
    pub fn behind(&self, tick: u64) -> u64 {
        let (pool, first) = &mut *self.pool.lock();
        if *first == 0 {
            *first = tick;
        }
        tick.saturating_sub((*pool).max(*first))
    }

    pub(super) fn learn(&self, pool: &Pool, judges: &[Judge]) {
        let mut known = self.pool.lock();
        if pool.tick() >= known.0 {
            known.0 = pool.tick();
            judges.iter().for_each(|judge| judge.learn(pool, |births| pool.is_buried(&self.boot(births))));
        }
    }

    /// The name to report under, and what was counted, as of `tick`. Metrics that have not begun as often as others have
    /// something in flight that is older: they are left out until that has ended.
    pub(super) fn report(&self, tick: u64, last: bool, judges: &[Judge]) -> (String, Report) {
        let shares: Vec<_> =
            judges.iter().filter_map(|judge| judge.share().map(|share| (&judge.metric.name, share))).collect();
        let births = shares.iter().map(|(_, (births, _))| *births).max().unwrap_or(0);
        let youngest = shares.into_iter().filter(|(_, (of, _))| *of == births);
        let shares = youngest.map(|(name, (_, share))| (name.clone(), share)).collect();
        (self.boot(births), Report { tick, shares, last })
    }
}
