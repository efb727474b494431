//! A rollout as requests see it: which track, how it went, and out at once when that was bad.
//!
//! Every thread only reads the weight and increments counters of its own. What is rare (something bad, the tick) takes
//! the locks of the judges.

mod budget;
mod flight;
mod gates;
mod judge;
mod local;
mod parts;
mod plan;
pub mod slots;
mod stored;
mod together;
mod tracks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use perch_router::fleet::{Pool, Report};
use perch_router::judge::{Ledger, Verdict};
use perch_router::policy::{FallbackOn, HashKey, RolloutPolicy};
use perch_router::slot::Slot;
use perch_router::split::Splitter;
use perch_router::track::Track;
use perch_router::weight::Weight;
use tokio::sync::mpsc;

use self::budget::Budget;
use self::flight::Odd;
use super::clock::Clock;

pub use flight::CanaryFlight;
pub use gates::{GateReport, Gates};
pub use judge::Judge;
pub use local::Local;
pub use parts::{Elsewhere, Fault};
pub use plan::{FallsBack, Plan, Trip, Why};
pub use stored::Stored;
pub use together::{Others, Seat, Together};
pub use tracks::{Ended, Totals, TrackCounts};

/// One rollout at work in this process.
pub struct Live {
    /// The model.
    pub model: String,
    /// The key of its evidence.
    pub rollout: String,
    /// Its start number.
    pub start: u64,
    /// The digest of what is tried: what else may serve as canary is not meant.
    pub digest: String,
    /// The policy.
    pub policy: Arc<RolloutPolicy>,
    /// Metrics in the policy's order.
    pub judges: Box<[Judge]>,
    /// Which failures stable answers.
    pub falls_back: FallsBack,
    /// When a request is late.
    pub after: Duration,
    /// How many may fall back.
    pub budget: Budget,
    /// The clock.
    pub clock: Clock,
    splitter: Splitter,
    weight: AtomicU16,
    /// Whether requests may ask for the canary by header.
    open: AtomicBool,
    tracks: [TrackCounts; 2],
    ledger: Ledger,
    slots: usize,
    odd: Mutex<Vec<Odd>>,
    fallbacks: [AtomicU64; 3],
    /// Executions that earlier processes counted.
    executed_before: u64,
    /// Requests that the canary was given while it was new.
    warming: AtomicU64,
    stable_failing: AtomicBool,
    tripped: AtomicBool,
    trips: mpsc::UnboundedSender<Trip>,
    together: Option<Together>,
}

impl Live {
    /// A rollout that has weight zero.
    #[must_use]
    pub fn new(plan: Plan) -> Arc<Self> {
        let Plan { model, rollout, start, digest, policy, timeout, slots, mut stored, seat, trips, clock } = plan;
        let metrics = &policy.analysis.metrics;
        let judge = |metric: &perch_router::policy::Metric| {
            Judge::new(&policy, metric, slots, stored.metrics.remove(&metric.name), seat.as_ref())
        };
        let judges: Box<[Judge]> = metrics.iter().filter_map(judge).collect();
        let fallback = &policy.routing.fallback;
        let on = |what: FallbackOn| fallback.on.contains(&what);
        let falls_back = FallsBack {
            error: on(FallbackOn::Error),
            timeout: on(FallbackOn::Timeout),
            invalid_output: on(FallbackOn::InvalidOutput),
        };
        Arc::new(Self {
            splitter: Splitter::new(policy.routing.split, &rollout, fastrand::u64(..)),
            falls_back,
            after: policy.after_within(timeout).0,
            budget: Budget::new(fallback.burst, fallback.budget_percent),
            tracks: [TrackCounts::new(slots, judges.len()), TrackCounts::new(slots, judges.len())],
            ledger: Ledger::new(slots),
            slots,
            judges,
            model,
            rollout,
            start,
            digest,
            policy,
            clock,
            weight: AtomicU16::new(0),
            open: AtomicBool::new(false),
            odd: Mutex::default(),
            fallbacks: Default::default(),
            executed_before: stored.executions,
            warming: AtomicU64::new(stored.executions),
            stable_failing: AtomicBool::new(false),
            tripped: AtomicBool::new(false),
            trips,
            together: seat.map(Together::new),
        })
    }

    /// Its part in a fleet, if there is one.
    #[must_use]
    pub const fn together(&self) -> Option<&Together> {
        self.together.as_ref()
    }

    /// The pool has gone on: decides as a request would.
    pub fn learn(&self, pool: &Pool) {
        if let Some(together) = &self.together {
            together.learn(pool, &self.judges);
            self.look();
        }
    }

    /// What is to be published as of a tick, and under which name. `last`: nothing comes after it.
    #[must_use]
    pub fn report(&self, tick: u64, last: bool) -> Option<(String, Report)> {
        self.together.as_ref().map(|together| together.report(tick, last, &self.judges))
    }

    /// The canary's weight.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight::from_ten_thousandths(self.weight.load(Relaxed)).unwrap_or_default()
    }

    /// Sets it, and whether requests may ask for the canary by header.
    pub fn set_weight(&self, weight: Weight, open: bool) {
        self.weight.store(weight.ten_thousandths(), Relaxed);
        self.open.store(open, Relaxed);
    }

    /// What requests are divided by, when not by a counter.
    #[must_use]
    pub fn hash_key(&self) -> Option<&HashKey> {
        self.policy.routing.hash_key.as_ref()
    }

    /// The track of a request, and the weight as it was routed.
    #[must_use]
    pub fn pick(&self, key: Option<&[u8]>) -> (Track, Weight) {
        let weight = self.weight();
        if weight == Weight::ZERO {
            return (Track::Stable, weight);
        }
        (self.splitter.pick(weight, key), weight)
    }

    /// Whether a request that asks for the canary gets it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// The next moment after `waited` at which a request is late, for a metric or for its caller.
    #[must_use]
    pub fn next_mark(&self, waited: Duration) -> Option<Duration> {
        let metrics = self.judges.iter().filter_map(Judge::slow_after);
        let after = self.falls_back.timeout.then_some(self.after);
        metrics.chain(after).filter(|mark| *mark > waited).min()
    }

    /// A request on stable has ended, that was routed under `weight`.
    pub fn stable_ended(&self, weight: Weight, ended: Ended) {
        let slot = self.slot();
        self.tracks[Track::Stable as usize].ended(slot, ended);
        for (place, judge) in self.judges.iter().enumerate() {
            if judge.slow_after().is_some_and(|limit| ended.took > limit) {
                self.tracks[Track::Stable as usize].slow(slot, place, ended.rows);
            }
            let mut left = ended.bad;
            while left > 0 {
                let bad = left.min(ended.each.max(1));
                judge.failed(Track::Stable, ended.each, &vec![weight.share(); bad as usize]);
                left -= bad;
            }
        }
    }

    /// A request on the canary has ended, without its fallback.
    pub fn canary_ended(&self, ended: Ended) {
        self.tracks[Track::Canary as usize].ended(self.slot(), ended);
    }

    /// A request was answered by stable.
    pub fn fell_back(&self, why: Why) {
        self.fallbacks[why as usize].fetch_add(1, Relaxed);
        crate::metrics::rollouts::count_fallback(&self.model, why.name());
    }

    /// Requests that were answered by stable, by [`Why::ALL`].
    #[must_use]
    pub fn fallbacks(&self) -> [u64; 3] {
        [0, 1, 2].map(|why: usize| self.fallbacks[why].load(Relaxed))
    }

    /// Whose fault it is that the canary failed a request that stable was not asked for.
    #[must_use]
    pub fn not_asked(&self) -> Elsewhere {
        if self.stable_failing.load(Relaxed) { Elsewhere::NotWell } else { Elsewhere::NotAsked }
    }

    /// Whether stable passes its own limits at present.
    pub fn set_stable_failing(&self, failing: bool) {
        self.stable_failing.store(failing, Relaxed);
    }

    /// Whether stable passes its own limits at present.
    #[must_use]
    pub fn stable_failing(&self) -> bool {
        self.stable_failing.load(Relaxed)
    }

    /// Counts of a track.
    #[must_use]
    pub const fn track(&self, track: Track) -> &TrackCounts {
        &self.tracks[track as usize]
    }

    /// Sums of both tracks, stable first.
    #[must_use]
    pub fn totals(&self) -> [Totals; 2] {
        Track::ALL.map(|track| self.track(track).totals())
    }

    /// Executions of the canary since the rollout started, on all replicas.
    #[must_use]
    pub fn executions(&self) -> u64 {
        let others = self.together.as_ref().map_or(0, |together| together.others().executions);
        others + self.executed_here()
    }

    /// Those of this one.
    #[must_use]
    pub fn executed_here(&self) -> u64 {
        self.executed_before + self.ledger.executions()
    }

    /// What is to be stored, gates apart.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let metrics = self.judges.iter().map(|judge| (judge.metric.name.clone(), judge.stored())).collect();
        Stored { metrics, executions: self.executed_here(), ..Stored::default() }
    }

    /// What each metric says now.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Option<Verdict>> {
        let (totals, now) = (self.totals(), self.clock.now());
        self.judges.iter().map(|judge| judge.verdict(&totals, now)).collect()
    }

    /// Looks at what is judged by the clock; decides as a request would.
    pub fn look(&self) {
        for (place, verdict) in self.verdicts().into_iter().enumerate() {
            let counts = self.judges.get(place).is_some_and(|judge| judge.counts);
            if let Some(verdict) = verdict.filter(|verdict| verdict.decided && counts) {
                self.trip(place, verdict);
            }
        }
    }

    /// A judge has decided: no request goes to the canary from here on, whatever is written down and when.
    fn trip(&self, place: usize, verdict: Verdict) {
        let told = self.tripped.swap(true, Relaxed);
        self.set_weight(Weight::ZERO, false);
        if told {
            return;
        }
        let Some(judge) = self.judges.get(place) else { return };
        let metric = judge.metric.name.clone();
        // Nobody listens any more at shutdown.
        let _ = self.trips.send(Trip { model: self.model.clone(), start: self.start, metric, verdict });
    }

    /// What a judge has decided was heard: the weight is what the state says again.
    pub fn heard(&self) {
        self.tripped.store(false, Relaxed);
    }

    /// Nothing goes to the canary until what was decided has been heard again.
    pub fn hold(&self, held: bool) {
        self.tripped.store(held, Relaxed);
        if held {
            self.set_weight(Weight::ZERO, false);
        }
    }

    /// Whether a judge has decided, and the state does not know yet.
    #[must_use]
    pub fn has_tripped(&self) -> bool {
        self.tripped.load(Relaxed)
    }

    /// Where this thread counts.
    fn slot(&self) -> Slot {
        slots::of(self.slots)
    }

    /// Whether the canary is too new for its latency to count, as `requests` more come.
    fn is_warming(&self, requests: u32) -> bool {
        let least = u64::from(self.policy.analysis.warmup_requests);
        // Only read once that is over.
        self.warming.load(Relaxed) < least && self.warming.fetch_add(requests.into(), Relaxed) < least
    }
}
