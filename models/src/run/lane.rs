//! Inline mode: one lane a reactor, run on the reactor's own turn.
//!
//! The request that opens a batch spawns a runner that yields once. By then every other request that is readable on
//! this thread has been parsed and has joined; the runner then runs the batch inline and scatters the rows. There is no
//! timer and no hand-off between threads, either of which costs more than a small model's run. The runner is a task of
//! its own: were it the first request's future, a client that hangs up would take its neighbours with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::job::{Job, flight};
use super::pool::Pool;
use super::queue::Batch;
use super::session::Session;

/// An inline run that takes this long is ended and its version moved to worker mode. Far above what a run takes (0.3 ms
/// at most), because a throttled container stands still for 100 ms at a time.
const LIMIT: Duration = Duration::from_millis(250);

/// One reactor's open batch and session. Only that reactor's thread uses it, so its locks are never waited for.
pub(crate) struct Lane {
    open: Mutex<Open>,
    session: Mutex<Option<Session>>,
    max_rows: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Open {
    jobs: Vec<Job>,
    rows: usize,
    /// Whether a runner is on its way.
    runner: bool,
}

/// What the lanes of one version share.
pub(crate) struct Shared {
    /// False once a run had to be ended: this version runs on threads of its own from then on.
    pub(crate) inline: AtomicBool,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tasks: TaskTracker,
}

impl Lane {
    pub(crate) fn new(session: Session, max_rows: usize, shared: Arc<Shared>) -> Self {
        Self { open: Mutex::default(), session: Mutex::new(Some(session)), max_rows, shared }
    }

    /// Adds a job to the open batch. A full batch is run at once: waiting would gain nothing, and the requests' data
    /// are still in the cache.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let (full, opened) = {
            let mut open = self.open.lock();
            open.rows += job.rows;
            open.jobs.push(job);
            let full = open.rows >= self.max_rows;
            let opened = !full && !std::mem::replace(&mut open.runner, true);
            (full, opened)
        };
        if full {
            while self.run_once() {}
        } else if opened {
            let lane = Arc::clone(self);
            self.shared.tasks.spawn(async move {
                tokio::task::yield_now().await;
                while lane.run_once() {
                    // Let requests that arrived meanwhile be read before the rest is run.
                    tokio::task::yield_now().await;
                }
                lane.open.lock().runner = false;
            });
        }
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
