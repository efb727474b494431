//! Inline mode: one lane a reactor, run on the reactor's own [turn](super::turn).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::job::{Job, flight};
use super::pool::Pool;
use super::queue::Batch;
use super::session::Session;
use super::turn::Turn;

/// An inline run that takes this long is ended and its version moved to worker mode. Far above what a run takes (0.3 ms
/// at most), because a throttled container stands still for 100 ms at a time.
const LIMIT: Duration = Duration::from_millis(250);

/// One reactor's open batch and session. Only that reactor's thread uses it, so its locks are never waited for.
pub(crate) struct Lane {
    open: Mutex<Open>,
    session: Mutex<Option<Session>>,
    max_rows: usize,
    turn: Arc<Turn>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Open {
    jobs: Vec<Job>,
    rows: usize,
    /// Whether it waits for its turn.
    joined: bool,
}

/// What the lanes of one version share.
pub(crate) struct Shared {
    /// False once a run had to be ended: this version runs on threads of its own from then on.
    pub(crate) inline: AtomicBool,
    pub(crate) pool: Arc<Pool>,
}

impl Lane {
    pub(crate) fn new(session: Session, max_rows: usize, turn: Arc<Turn>, shared: Arc<Shared>) -> Self {
        Self { open: Mutex::default(), session: Mutex::new(Some(session)), max_rows, turn, shared }
    }

    /// Adds a job to the open batch. A full batch is run at once: waiting would gain nothing, and the requests' data
    /// are still in the cache.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let (full, opened) = {
            let mut open = self.open.lock();
            open.rows += job.rows;
            open.jobs.push(job);
            let full = open.rows >= self.max_rows;
            let opened = !full && !std::mem::replace(&mut open.joined, true);
            (full, opened)
        };
        if full {
            while self.run_once() {}
        } else if opened {
            self.turn.join(Arc::clone(self));
        }
    }

    /// Runs one batch. True when more is waiting; otherwise it joins the turn anew when something is.
    pub(crate) fn take_turn(&self) -> bool {
        let more = self.run_once();
        self.open.lock().joined = more;
        more
    }

    /// Runs one batch. True when more is waiting.
    fn run_once(&self) -> bool {
        let (batch, more) = {
            let mut open = self.open.lock();
            let count = batch_len(&open.jobs, self.max_rows);
            let rest = open.jobs.split_off(count);
            open.rows = rest.iter().map(|job| job.rows).sum();
            let more = !rest.is_empty();
            (std::mem::replace(&mut open.jobs, rest), more)
        };
        if batch.is_empty() {
            return false;
        }
        let mut session = self.session.lock();
        let left = match session.as_mut() {
            Some(session) => session.run(Batch::of(batch), |_| Instant::now() + LIMIT).left,
            None => batch,
        };
        if !left.is_empty() {
            self.shared.inline.store(false, Ordering::Release);
            if let Some(flight) = flight(&left) {
                flight.withdrawn();
            }
            // Freeing a session takes milliseconds: not on the reactor.
            if let Some(session) = session.take() {
                std::thread::spawn(move || drop(session));
            }
            left.into_iter().filter_map(Job::moved).for_each(|job| self.shared.pool.push([job]));
        }
        more
    }
}

/// How many of `jobs`, from the front, make the next batch: as many as stack, up to `max_rows` rows, and at least one.
pub(crate) fn batch_len(jobs: &[Job], max_rows: usize) -> usize {
    let Some(first) = jobs.first() else { return 0 };
    let mut rows = first.rows;
    let joins = |job: &&Job| {
        rows += job.rows;
        rows <= max_rows && first.stacks_with(job)
    };
    1 + jobs[1..].iter().take_while(joins).count()
}
