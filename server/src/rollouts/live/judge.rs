//! One metric under judgement: counted by every thread, judged when something bad ends and on the tick.

mod make;
mod member;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use perch_router::evidence::Counts;
use perch_router::fleet::Member;
use perch_router::judge::{Chain, Debits, Limit, MOST_ROWS, Relative, Shard, Shared, Threshold, Ticket, Verdict};
use perch_router::policy::{Metric, Rule};
use perch_router::slot::Slot;
use perch_router::track::Track;

use super::stored::{Kept, StoredMetric};
use super::tracks::Totals;

/// One metric of a policy at work.
pub struct Judge {
    /// The metric as it is written.
    pub metric: Metric,
    /// As it is judged.
    pub rule: Rule,
    /// Whether it can demote: it is not for show only.
    pub counts: bool,
    enough: f64,
    /// What the pool of a fleet needs.
    pooled_enough: f64,
    min_failures: u64,
    /// Beyond this a row is slow.
    slow_after: AtomicLimit,
    shared: Shared,
    shards: Box<[Shard]>,
    state: Mutex<State>,
    /// What earlier processes counted.
    before: Counts,
}

/// A limit on latency in µs, rounded up: small, because every execution carries one for each metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slowness(u32);

impl Slowness {
    /// Nothing is slow, or it is not known what is.
    pub const NEVER: Self = Self(u32::MAX);

    fn of(limit: Option<Duration>) -> Self {
        let micros = |limit: Duration| u32::try_from(limit.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX - 1);
        limit.map_or(Self::NEVER, |limit| Self(micros(limit).min(u32::MAX - 1)))
    }

    /// The limit, where there is one.
    pub const fn limit(self) -> Option<Duration> {
        if self.0 == Self::NEVER.0 { None } else { Some(Duration::from_micros(self.0 as u64)) }
    }
}

#[derive(Debug)]
struct AtomicLimit(AtomicU32);

impl AtomicLimit {
    fn get(&self) -> Slowness {
        Slowness(self.0.load(Relaxed))
    }
}

struct State {
    test: Test,
    /// What the pool said when it was last heard of.
    pooled: Option<Verdict>,
    /// Executions with bad rows, and those rows.
    bad: u64,
    bad_rows: f64,
    /// What the window has been told of.
    told: Counts,
}

enum Test {
    Chain(Box<Chain>),
    /// The same, of one replica of several.
    Member(Box<Member>),
    Window(Threshold),
    Relative(Relative),
}

/// What an execution carries for one metric that applies to it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    ticket: Ticket,
    slow_after: Slowness,
}

impl Entry {
    /// As one number, never 0.
    pub(super) const fn pack(self) -> u64 {
        (self.slow_after.0 as u64) << 32 | self.ticket.pack() as u64
    }

    /// What was packed; none for 0.
    pub(super) fn unpack(packed: u64) -> Option<Self> {
        let ticket = Ticket::unpack(u32::try_from(packed & u64::from(u32::MAX)).ok()?)?;
        let slow_after = Slowness(u32::try_from(packed >> 32).ok()?);
        Some(Self { ticket, slow_after })
    }

    /// What is slow for it, where that is what its metric judges: fixed when it started.
    pub const fn slow_after(self) -> Slowness {
        self.slow_after
    }
}

impl Judge {
    /// Whether slowness is what it judges.
    pub const fn is_latency(&self) -> bool {
        matches!(self.rule, Rule::Latency { .. } | Rule::LatencyToStable { .. })
    }

    /// The limit on the share of bad rows, where that is fixed.
    pub fn limit(&self) -> Option<Limit> {
        self.rule.limit()
    }

    /// Whether it has a limit of its own.
    pub const fn has_limit(&self) -> bool {
        !matches!(self.rule, Rule::ErrorsToStable { .. })
    }

    /// What is slow at present.
    pub fn slow_after(&self) -> Option<Duration> {
        self.slow_after.get().limit()
    }

    /// Sets what is slow for executions that start from here on; none where that is not known.
    pub fn set_slow_after(&self, limit: Option<Duration>) {
        self.slow_after.0.store(Slowness::of(limit).0, Relaxed);
    }

    /// An execution of `rows` rows starts. None where the metric does not apply to it, or hears of failures of both tracks
    /// instead.
    pub fn dispatch(&self, slot: Slot, rows: u32) -> Option<Entry> {
        if !self.has_limit() {
            return None;
        }
        let slow_after = self.slow_after.get();
        if slow_after == Slowness::NEVER && self.is_latency() {
            return None;
        }
        let shard = self.shards.get(slot.index())?;
        Some(Entry { ticket: self.shared.dispatch(shard, rows, slot), slow_after })
    }

    /// The execution has ended.
    pub fn end(&self, slot: Slot, entry: Entry) {
        if let Some(shard) = self.shards.get(slot.index()) {
            shard.end(&entry.ticket, slot);
        }
    }

    /// `fraction` of the `rows` rows of an execution are known to be bad; of `known` it was told before, which starts at 0
    /// and follows. Gives the verdict where that decides.
    pub fn bad(&self, entry: Entry, known: &mut f64, rows: u32, fraction: f64, now: f64) -> Option<Verdict> {
        let before = *known;
        if fraction <= before {
            return None;
        }
        let mut state = self.state.lock();
        // Under the lock: counts that are older than the chain's could fold an epoch too early.
        let counts = Debits::read(&self.shards);
        state.bad += u64::from(before == 0.0);
        state.bad_rows += (fraction - before) * f64::from(rows.min(MOST_ROWS));
        match &mut state.test {
            Test::Chain(chain) => {
                chain.bad_so_far(entry.ticket, known, fraction, now, &counts);
                self.shared.opened(chain.epochs());
            }
            Test::Member(member) => {
                member.bad_so_far(entry.ticket, known, fraction, now, &counts);
                self.shared.opened(member.epochs());
            }
            Test::Window(_) | Test::Relative(_) => *known = fraction,
        }
        let verdict = self.verdict_of(&mut state, &counts, now);
        verdict.filter(|verdict| verdict.decided && self.counts)
    }

    /// An execution of `rows` rows on `track` failed in some, each with the canary's weight as it was routed.
    pub fn failed(&self, track: Track, rows: u32, weights: &[f64]) {
        let mut state = self.state.lock();
        if let Test::Relative(relative) = &mut state.test {
            relative.executed(track, rows, weights);
            if track == Track::Canary {
                state.bad += 1;
            }
        }
    }

    /// What it says now. `totals` are of stable and canary, for what compares them.
    pub fn verdict(&self, totals: &[Totals; 2], now: f64) -> Option<Verdict> {
        let mut state = self.state.lock();
        let counts = Debits::read(&self.shards);
        if let Test::Relative(relative) = &state.test {
            return Some(self.ratio(relative.log_e(), state.bad, totals));
        }
        match &mut state.test {
            Test::Chain(chain) => chain.charge(&counts),
            Test::Member(member) => member.charge(&counts),
            Test::Window(_) | Test::Relative(_) => {}
        }
        self.verdict_of(&mut state, &counts, now)
    }

    /// Of a test with a limit of its own.
    fn verdict_of(&self, state: &mut State, counts: &Debits, now: f64) -> Option<Verdict> {
        let seen = counted(state, counts);
        let mut all = self.before;
        all.add(&seen);
        match &mut state.test {
            Test::Chain(chain) => self.of_chain(chain, &all),
            Test::Member(member) => {
                let alone = self.of_chain(member.alone(), &all)?;
                // What all have seen is more, as long as what this one has seen is not enough.
                Some(state.pooled.filter(|_| !alone.decided).unwrap_or(alone))
            }
            Test::Window(window) => {
                let more = Counts {
                    executions: seen.executions - state.told.executions,
                    bad_executions: seen.bad_executions - state.told.bad_executions,
                    rows: seen.rows - state.told.rows,
                    bad_rows: seen.bad_rows - state.told.bad_rows,
                };
                state.told = seen;
                window.counted(&more, now);
                let verdict = window.verdict(now);
                Some(Verdict { decided: verdict.decided && verdict.bad >= self.min_failures, ..verdict })
            }
            Test::Relative(_) => None,
        }
    }

    fn of_chain(&self, chain: &Chain, seen: &Counts) -> Option<Verdict> {
        let (evidence, bad) = (chain.log_e(), chain.bad());
        Some(Verdict {
            value: share(seen.bad_rows, seen.rows),
            limit: self.limit()?.share(),
            evidence,
            enough: self.enough,
            n: seen.executions,
            bad,
            decided: evidence >= self.enough && bad >= self.min_failures,
        })
    }

    fn ratio(&self, evidence: f64, bad: u64, totals: &[Totals; 2]) -> Verdict {
        let [stable, canary] = totals;
        let (stable_share, canary_share) = (share(stable.bad_rows, stable.rows), share(canary.bad_rows, canary.rows));
        let limit = if let Rule::ErrorsToStable { ratio } = self.rule { ratio } else { 1.0 };
        let value = if canary_share == 0.0 { 0.0 } else { canary_share / stable_share };
        let bad = bad + self.before.bad_executions;
        Verdict {
            value,
            limit,
            evidence,
            enough: self.enough,
            n: canary.requests,
            bad,
            decided: evidence >= self.enough && bad >= self.min_failures,
        }
    }

    /// What is to be stored.
    pub fn stored(&self) -> StoredMetric {
        let mut state = self.state.lock();
        let debits = Debits::read(&self.shards);
        let mut counts = self.before;
        counts.add(&counted(&state, &debits));
        let kept = match &mut state.test {
            Test::Chain(chain) => {
                chain.charge(&debits);
                Some(Kept::Chain(chain.sums()))
            }
            Test::Window(window) => Some(Kept::Window(window.clone())),
            Test::Relative(relative) => Some(Kept::Relative(relative.clone())),
            // It is in what the replica publishes.
            Test::Member(_) => None,
        };
        StoredMetric { counts, kept }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// What this process has counted.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
fn counted(state: &State, counts: &Debits) -> Counts {
    Counts {
        executions: counts.executions(),
        bad_executions: state.bad,
        rows: counts.rows(),
        bad_rows: state.bad_rows.round() as u64,
    }
}
