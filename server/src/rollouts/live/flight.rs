//! One execution of the canary, from its dispatch to the end of its last request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use perch_models::run::{Answer, Dispatched, Flight, InferError};
use perch_router::slot::Slot;
use perch_router::track::Track;

use super::judge::{Entry, Slowness};
use super::parts::{Elsewhere, Fault, PartState, Parts};
use super::{Judge, Local};

/// An execution that is judged. Every request of the canary makes one, nearly all of which end well: kept small, and
/// what only the others need is apart.
pub struct CanaryFlight {
    live: Arc<Local>,
    /// The interval of its dispatch, for gates.
    interval: u64,
    rows: u32,
    /// Rows by which the time of requests is judged: all of them, or one for each request of which this is the execution
    /// that counts.
    timed: u32,
    parts: u32,
    /// Whether latency is not judged yet.
    warming: bool,
    entries: Entries,
    trouble: Mutex<Option<Box<Trouble>>>,
}

/// With the two counts of its `Arc`.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<CanaryFlight>() + 16 == 128, "see Entries");

/// By metric, packed; 0 where one does not apply. Few policies have more than six. With six a flight takes 128 bytes, and
/// the allocator is fastest at powers of two. Atomic so that they are set where the flight lies: made on the stack, it would
/// be copied in words that are wider than what was just written, and for those a processor waits.
#[derive(Default)]
struct Entries {
    first: [AtomicU64; 6],
    more: Box<[AtomicU64]>,
}

impl Entries {
    /// Places for so many metrics, to none of which it applies.
    fn of(metrics: usize) -> Self {
        let mut entries = Self::default();
        if metrics > entries.first.len() {
            entries.more = (entries.first.len()..metrics).map(|_| AtomicU64::default()).collect();
        }
        entries
    }

    fn fill(&self, judges: &[Judge], entry: impl Fn(&Judge) -> Option<Entry>) {
        let packed = |judge: &Judge| entry(judge).map_or(0, Entry::pack);
        self.first.iter().zip(judges).for_each(|(place, judge)| place.store(packed(judge), Relaxed));
        if !self.more.is_empty() {
            let judges = &judges[self.first.len()..];
            self.more.iter().zip(judges).for_each(|(place, judge)| place.store(packed(judge), Relaxed));
        }
    }

    /// Where latency is judged by `timed` rows, or not at all.
    #[cold]
    fn fill_apart(&self, judges: &[Judge], slot: Slot, rows: u32, timed: u32) {
        self.fill(judges, |judge| match judge.is_latency() {
            false => judge.dispatch(slot, rows),
            true if timed == 0 => None,
            true => judge.dispatch(slot, timed),
        });
    }

    fn get(&self, place: usize) -> Option<Entry> {
        let packed = self.first.get(place).or_else(|| self.more.get(place - self.first.len()))?;
        Entry::unpack(packed.load(Relaxed))
    }
}

/// What has gone badly.
#[derive(Default)]
struct Trouble {
    parts: Parts,
    withdrawn: bool,
    /// The fraction of bad rows that each metric was told of.
    known: Vec<f64>,
}

/// An execution that gates cannot count as clean.
pub(super) struct Odd {
    pub interval: u64,
    /// For each metric the rows that count (none: it says nothing), and the fraction of them that was bad.
    pub metrics: Vec<(u32, f64)>,
}

impl CanaryFlight {
    pub(super) fn start(live: Arc<Local>, what: Dispatched) -> Arc<Self> {
        let Dispatched { rows, parts, requests, timed } = what;
        let slot = live.slot();
        let warming = live.is_warming(requests);
        let interval = live.ledger.dispatch(slot);
        // Not `Arc::new`, which makes it on the stack and copies it, see `Entries`.
        let flight = Arc::new_cyclic(|_| {
            let (entries, trouble) = (Entries::of(live.judges.len()), Mutex::new(None));
            Self { live, interval, rows, timed, parts, warming, entries, trouble }
        });
        let judges = &flight.live.judges;
        // Nearly always all rows are timed: then nobody is asked which metric it is.
        if warming || timed != rows {
            flight.entries.fill_apart(judges, slot, rows, if warming { 0 } else { timed });
        } else {
            flight.entries.fill(judges, |judge| judge.dispatch(slot, rows));
        }
        flight
    }

    /// Metrics and what this execution carries for them, by place.
    fn judged(&self) -> impl Iterator<Item = (usize, &Judge, Option<Entry>)> {
        self.live.judges.iter().enumerate().map(|(place, judge)| (place, judge, self.entries.get(place)))
    }

    /// Beyond this it is slow for the strictest metric.
    fn quickest(&self) -> Slowness {
        let limits = self.judged().filter_map(|(_, _, entry)| entry.map(Entry::slow_after));
        limits.min().unwrap_or(Slowness::NEVER)
    }

    /// Whether lateness beyond the policy's `after` is an error: no metric of latency applies to it.
    pub fn late_is_error(&self) -> bool {
        // A canary that is cold may be late, where lateness has a metric of its own. Where that has nothing to compare
        // with yet, nobody else would see one that hangs.
        let cold = self.warming && self.live.judges.iter().any(Judge::is_latency);
        self.quickest() == Slowness::NEVER && !cold
    }

    /// A request has taken so long, ended or not.
    pub fn took(&self, part: u32, rows: u32, took: Duration) {
        if self.quickest().limit().is_some_and(|limit| took > limit) {
            self.tell(part, rows, |part| part.took = part.took.max(took));
        }
    }

    /// The canary failed `fault.rows` rows of a request.
    pub fn fault(&self, part: u32, rows: u32, fault: Fault) {
        self.tell(part, rows, |part| part.fault = Some(fault));
    }

    /// What stable made of it.
    pub fn elsewhere(&self, part: u32, rows: u32, elsewhere: Elsewhere) {
        self.tell(part, rows, |part| part.elsewhere = elsewhere);
    }

    /// Notes something bad of a part, and lets the judges look at it.
    #[cold]
    fn tell(&self, part: u32, rows: u32, note: impl FnOnce(&mut PartState)) {
        let mut trouble = self.trouble.lock();
        let Trouble { parts, withdrawn, known } = &mut **trouble.get_or_insert_default();
        if let Some(part) = parts.of(part, rows) {
            note(part);
        }
        if *withdrawn {
            return;
        }
        let now = self.live.clock.now();
        known.resize(self.live.judges.len(), 0.0);
        for ((place, judge, entry), known) in self.judged().zip(known) {
            let Some(entry) = entry else { continue };
            let (bad, of) = match entry.slow_after().limit() {
                Some(limit) => (parts.slower(limit), self.timed),
                None => (parts.failures().bad, self.rows),
            };
            if let Some(verdict) = judge.bad(entry, known, of, fraction(bad, of), now) {
                self.live.trip(place, verdict);
            }
        }
    }

    /// Tells gates of an execution that is not simply clean, and those who compare tracks of its failures.
    #[cold]
    fn end_badly(&self, trouble: &Trouble) {
        let Trouble { parts, withdrawn, .. } = trouble;
        let failures = parts.failures();
        let metric = |entry: Option<Entry>| match entry.map(|entry| entry.slow_after().limit()) {
            Some(Some(limit)) if !withdrawn => (self.timed, fraction(parts.slower(limit), self.timed)),
            Some(None) if !withdrawn => {
                let counted = self.rows.saturating_sub(failures.void);
                (counted, fraction(failures.bad, counted))
            }
            _ => (0, 0.0),
        };
        let metrics = self.judged().map(|(_, _, entry)| metric(entry)).collect();
        let odd = Odd { interval: self.interval, metrics };
        let weights = parts.weights();
        if !weights.is_empty() && !withdrawn {
            for judge in &self.live.judges {
                judge.failed(Track::Canary, self.rows, &weights);
            }
        }
        self.live.odd.lock().push(odd);
    }
}

impl Flight for CanaryFlight {
    fn answered_elsewhere(&self) -> bool {
        self.live.falls_back.error
    }

    fn failed(&self) {
        self.trouble.lock().get_or_insert_default().parts.fail_together(self.parts);
    }

    fn withdrawn(&self) {
        self.trouble.lock().get_or_insert_default().withdrawn = true;
    }

    fn abandoned(&self, part: u32, rows: u32, took: Duration, result: Result<&Answer, &InferError>) {
        self.took(part, rows, took);
        let bad = match result {
            Ok(answer) => u32::try_from(answer.unusable_rows()).unwrap_or(rows).min(rows),
            // Not the version's doing, as far as anybody knows.
            Err(InferError::InvalidInput(_)) => 0,
            Err(_) => rows,
        };
        if bad == 0 {
            return;
        }
        let fault = Fault { rows: bad, weight: self.live.weight().share() };
        let not_asked = self.live.not_asked();
        self.tell(part, rows, |part| {
            part.fault.get_or_insert(fault);
            // It may have been answered by stable when it was late.
            if part.elsewhere == Elsewhere::Pending {
                part.elsewhere = not_asked;
            }
        });
    }
}

impl Drop for CanaryFlight {
    fn drop(&mut self) {
        let slot = self.live.slot();
        // Gates count rows, which are then not all judged by their time.
        let mut missing = self.timed != self.rows && self.live.judges.iter().any(Judge::is_latency);
        for (_, judge, entry) in self.judged() {
            match entry {
                Some(entry) => judge.end(slot, entry),
                // One that compares failures has no entry, and no gate asks for it.
                None => missing |= judge.has_limit(),
            }
        }
        let trouble = self.trouble.get_mut().take();
        let clean = trouble.is_none() && !missing;
        if !clean {
            self.end_badly(&trouble.unwrap_or_default());
        }
        self.live.ledger.end(slot, self.interval, clean.then_some(self.rows));
    }
}

fn fraction(part: u32, of: u32) -> f64 {
    if of == 0 { 0.0 } else { f64::from(part.min(of)) / f64::from(of) }
}
