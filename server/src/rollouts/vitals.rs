//! How stable and the canary did in the last minute: the share of requests, latencies, and whether both fail together.

use std::time::Duration;

use perch_router::minute::{Cumulative, Minute};
use perch_router::policy::Rule;
use perch_router::sketch::Sketch;
use perch_router::track::Track;

use super::live::{Live, Totals};

/// Requests of stable below which its quantile is not compared with.
const LEAST_OF_STABLE: u64 = 200;
/// In seconds.
const MINUTE: f64 = 60.0;

/// The last minute of both tracks. Owned by the driver.
#[derive(Default)]
pub struct Vitals {
    counts: [Minute<Counts>; 2],
    latencies: [Minute<Sketch>; 2],
    /// Requests of both tracks that the fallback budget has been told of.
    told: u64,
    /// When it began to look, in seconds.
    since: Option<f64>,
}

/// Totals that can be subtracted.
#[derive(Debug, Clone, Default)]
struct Counts(Totals);

impl Cumulative for Counts {
    fn since(&self, before: &Self) -> Self {
        let (now, before) = (&self.0, &before.0);
        let slow = |(place, count): (usize, &u64)| count - before.slow_rows.get(place).copied().unwrap_or(0);
        Self(Totals {
            requests: now.requests - before.requests,
            rows: now.rows - before.rows,
            failed: now.failed - before.failed,
            bad_rows: now.bad_rows - before.bad_rows,
            slow_rows: now.slow_rows.iter().enumerate().map(slow).collect(),
        })
    }
}

impl Vitals {
    /// Looks at the counters, sets what is slow compared with stable, and fills the fallback budget.
    pub fn observe(&mut self, live: &Live) {
        let now = live.clock.now();
        self.since.get_or_insert(now);
        for (place, track) in Track::ALL.into_iter().enumerate() {
            self.counts[place].observe(Counts(live.track(track).totals()), now);
            self.latencies[place].observe(live.track(track).latencies(), now);
        }
        let requests = live.totals().iter().map(|totals| totals.requests).sum();
        live.budget.refill(requests - self.told.min(requests));
        self.told = requests;
        let stable = self.latencies[Track::Stable as usize].last();
        for judge in &live.judges {
            if let Rule::LatencyToStable { quantile, ratio } = judge.rule {
                let enough = stable.n() >= LEAST_OF_STABLE;
                let limit = stable.quantile(quantile.value()).filter(|_| enough).map(|time| time.mul_f64(ratio));
                judge.set_slow_after(limit);
            }
        }
        live.set_stable_failing(self.stable_failing(live));
    }

    /// Whether stable passes an absolute limit of its own, where that is known: that it does not is seen in a minute, and
    /// a process that has just begun does not know what the one before it saw.
    #[must_use]
    pub fn heard_of_stable(&self, live: &Live) -> Option<bool> {
        let now = live.clock.now();
        let failing = live.stable_failing();
        (failing || self.since.is_some_and(|since| now - since >= MINUTE)).then_some(failing)
    }

    /// The last minute of a track, on this replica.
    #[must_use]
    pub fn minute(&self, track: Track) -> Totals {
        self.counts[track as usize].last().0
    }

    /// The same on all of them.
    fn everywhere(&self, live: &Live, track: Track) -> Totals {
        let mut sum = self.minute(track);
        if let Some(together) = live.together() {
            sum.add(&together.others().minute[track as usize]);
        }
        sum
    }

    /// Whether stable passes an absolute limit of its own.
    fn stable_failing(&self, live: &Live) -> bool {
        let last = self.everywhere(live, Track::Stable);
        let least = u64::from(live.policy.analysis.min_failures);
        live.judges.iter().enumerate().any(|(place, judge)| {
            let (bad, share) = match judge.rule {
                Rule::Errors(limit) => (last.bad_rows, limit.share()),
                Rule::Latency { share, .. } => (last.slow_rows.get(place).copied().unwrap_or(0), share.share()),
                Rule::ErrorsToStable { .. } | Rule::LatencyToStable { .. } => return false,
            };
            bad >= least && ratio(bad, last.rows) > share
        })
    }

    /// The share of the canary's rows that fail, whoever is to blame, where that is above the limit on errors.
    #[must_use]
    pub fn canary_failing(&self, live: &Live) -> Option<f64> {
        let last = self.everywhere(live, Track::Canary);
        let least = u64::from(live.policy.analysis.min_failures);
        let limits = live
            .judges
            .iter()
            .filter_map(|judge| if let Rule::Errors(limit) = judge.rule { Some(limit) } else { None });
        let limit = limits.map(perch_router::judge::Limit::share).fold(f64::INFINITY, f64::min);
        let share = ratio(last.bad_rows, last.rows);
        (last.failed >= least && share > limit).then_some(share)
    }

    /// The canary's share of requests in the last minute, 0 to 1.
    #[must_use]
    pub fn actual_share(&self) -> Option<f64> {
        let [stable, canary] = [0, 1].map(|place: usize| self.counts[place].last().0.requests);
        (stable + canary > 0).then(|| ratio(canary, stable + canary))
    }

    /// Requests a second in the last minute.
    #[must_use]
    pub fn per_second(&self, track: Track, now: f64) -> f64 {
        let counts = &self.counts[track as usize];
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let requests = counts.last().0.requests as f64;
        requests / counts.seconds(now)
    }

    /// The latency that a share of `quantile` of the last minute's requests did not pass.
    #[must_use]
    pub fn latency(&self, track: Track, quantile: f64) -> Option<Duration> {
        self.latencies[track as usize].last().quantile(quantile)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}
