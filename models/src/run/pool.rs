//! Worker mode: threads that own sessions, behind a queue that is bounded by the time its work will take.
//!
//! A worker that is free is woken at the end of the reactor's turn: by then every request that is readable on that thread
//! has been parsed and has joined. There is no timer in that, and a request alone waits for some microseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;
use tokio_util::task::TaskTracker;

use super::answer::InferError;
use super::flight::Cell;
use super::job::{Input, Job};
use super::queue::{Batch, Fifo, Head, Texts, last_deadline};
use super::session::{Ran, Session};

/// A full queue is searched for requests that nobody wants any more, but not more often than this: each search looks at
/// all of it.
const SWEEP: Duration = Duration::from_millis(20);

/// What a pool goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Work that may wait for each worker. What comes then is refused.
    pub(crate) max_queue: Duration,
    /// How long the oldest may wait for company while a worker is free.
    pub(crate) max_delay: Duration,
}

/// Queues and their threads.
pub(crate) struct Pool {
    state: Mutex<State>,
    wake: Condvar,
    limits: Limits,
    tasks: TaskTracker,
}

struct State {
    tensors: Fifo,
    /// Of models that take texts.
    texts: Option<Texts>,
    workers: u32,
    /// Workers that wait for something to do.
    idle: u32,
    /// Reactors that are about to wake them.
    waking: SmallVec<[usize; 4]>,
    closed: bool,
    /// When a full queue was last searched for what is not wanted.
    swept: Option<Instant>,
}

impl Pool {
    /// Starts one thread a session.
    pub(crate) fn start(
        name: &str,
        sessions: Vec<Session>,
        (tensors, texts): (Fifo, Option<Texts>),
        limits: Limits,
        tasks: TaskTracker,
    ) -> std::io::Result<Arc<Self>> {
        let workers = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        let state = State { tensors, texts, workers, idle: 0, waking: SmallVec::new(), closed: false, swept: None };
        let pool = Arc::new(Self { state: Mutex::new(state), wake: Condvar::new(), limits, tasks });
        for session in sessions {
            let worker = Arc::clone(&pool);
            thread::Builder::new().name(name.to_owned()).spawn(move || worker.work(session))?;
        }
        Ok(pool)
    }

    /// Queues a request's jobs, or answers them at once when the queue is full: all or none.
    pub(crate) fn push(self: &Arc<Self>, jobs: impl IntoIterator<Item = Job>) {
        let mut swept = Vec::new();
        let refused = self.try_push(jobs, &mut swept);
        swept.into_iter().for_each(Job::drop_unrun);
        if let Err((jobs, error)) = refused {
            jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
        }
    }

    fn try_push<J: IntoIterator<Item = Job>>(
        self: &Arc<Self>,
        jobs: J,
        swept: &mut Vec<Job>,
    ) -> Result<(), (J, InferError)> {
        let mut state = self.state.lock();
        if let Some(error) = state.refuses(self.limits, swept) {
            return Err((jobs, error));
        }
        let reactor = state.push(jobs);
        let wake = state.idle > 0 && !state.waking.contains(&reactor);
        if wake {
            state.waking.push(reactor);
        }
        drop(state);
        if wake {
            self.wake_soon(reactor);
        }
        Ok(())
    }

    /// Why a request that came now would be refused, if it would be.
    pub(crate) fn is_full(&self) -> Option<InferError> {
        let mut swept = Vec::new();
        let refused = self.state.lock().refuses(self.limits, &mut swept);
        swept.into_iter().for_each(Job::drop_unrun);
        refused
    }

    /// Wakes workers at the end of this reactor's turn; at once where this is none.
    fn wake_soon(self: &Arc<Self>, reactor: usize) {
        let wake = Wake { pool: Arc::clone(self), reactor };
        if tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn(async move {
                tokio::task::yield_now().await;
                drop(wake);
            });
        }
    }

    /// Jobs in the queue.
    pub(crate) fn depth(&self) -> usize {
        self.state.lock().len()
    }

    /// Ends the threads once the queue is empty.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    /// Dispatches, for those who follow it, the batch that the job of `cell` is going to be in, and those before it:
    /// whoever judges the model hears of a request that waits too long while it waits. Nothing, if it has been dispatched.
    pub(crate) fn seal(&self, cell: &Arc<Cell>) {
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        let State { tensors, texts, .. } = &mut *state;
        if !tensors.seal(cell)
            && let Some(texts) = texts
        {
            texts.seal(cell, Instant::now(), &mut dropped);
        }
        drop(state);
        dropped.into_iter().for_each(Job::drop_unrun);
    }

    fn work(self: &Arc<Self>, mut session: Session) {
        while let Some(batch) = self.next() {
            // What panics is the batch's failure, whose jobs are dropped with it, and not the worker's.
            let ran = catch_unwind(AssertUnwindSafe(|| session.run(batch, last_deadline)));
            let Ok(Ran { left, texts }) = ran else { continue };
            if let Some(seen) = texts
                && let Some(texts) = &mut self.state.lock().texts
            {
                texts.observe(seen.rows, seen.length, seen.took);
            }
            for job in left {
                // It ran until the last of its batch expired. One that joined late and was ended with it starts anew.
                if job.is_wanted(Instant::now()) {
                    self.push([job]);
                } else {
                    job.answer(Err(InferError::Timeout));
                }
            }
        }
    }

    /// Waits for the next batch; `None` when the pool is closed and empty.
    pub(super) fn next(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if let Some(until) = state.holds_until(self.limits.max_delay).filter(|until| *until > now) {
                state.idle += 1;
                self.wake.wait_until(&mut state, until);
                state.idle -= 1;
                continue;
            }
            let mut dropped = Vec::new();
            let batch = state.next(now, &mut dropped);
            if !dropped.is_empty() {
                drop(state);
                dropped.into_iter().for_each(Job::drop_unrun);
                if batch.is_some() {
                    return batch;
                }
                state = self.state.lock();
                continue;
            }
            if batch.is_some() {
                return batch;
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            self.wake.wait(&mut state);
            state.idle -= 1;
        }
    }
}

/// Wakes workers when it is dropped: also with a task that never ran.
struct Wake {
    pool: Arc<Pool>,
    reactor: usize,
}

impl Drop for Wake {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.waking.retain(|reactor| *reactor != self.reactor);
        let count = state.idle.min(u32::try_from(state.len()).unwrap_or(u32::MAX));
        drop(state);
        for _ in 0..count {
            self.pool.wake.notify_one();
        }
    }
}

impl State {
    /// Queues the jobs of one request; the reactor that they came from.
    fn push(&mut self, jobs: impl IntoIterator<Item = Job>) -> usize {
        let mut reactor = usize::MAX;
        // Time that the request's texts before this one take.
        let mut before = Duration::ZERO;
        for job in jobs {
            reactor = job.home.as_ref().map_or(usize::MAX, |home| home.reactor());
            match (&job.input, &mut self.texts) {
                (Input::Text(_), Some(texts)) => before += texts.push(job, before / self.workers),
                _ => self.tensors.push(job),
            }
        }
        reactor
    }

    /// Why nothing more is taken at present, if it is not.
    fn refuses(&mut self, limits: Limits, swept: &mut Vec<Job>) -> Option<InferError> {
        if self.closed {
            return Some(InferError::Unloaded);
        }
        if self.waiting() > limits.max_queue {
            self.sweep(Instant::now(), swept);
        }
        let waiting = self.waiting();
        let waiting_ms = u64::try_from(waiting.as_millis()).unwrap_or(u64::MAX);
        (waiting > limits.max_queue).then_some(InferError::Overloaded { waiting_ms })
    }

    fn len(&self) -> usize {
        self.tensors.len() + self.texts.as_ref().map_or(0, Texts::len)
    }

    /// Estimated time until a job that comes now is run.
    fn waiting(&self) -> Duration {
        (self.tensors.work() + self.texts.as_ref().map_or(Duration::ZERO, Texts::work)) / self.workers
    }

    fn heads(&self) -> (Option<Head>, Option<Head>) {
        (self.tensors.head(), self.texts.as_ref().and_then(Texts::head))
    }

    /// Until when a worker waits for more company; none where it should not.
    fn holds_until(&self, max_delay: Duration) -> Option<Instant> {
        if max_delay.is_zero() || self.closed {
            return None;
        }
        let (tensors, texts) = self.heads();
        let heads = || [&tensors, &texts].into_iter().flatten();
        let oldest = heads().map(|head| head.oldest).min()?;
        (!heads().any(|head| head.full)).then(|| oldest + max_delay)
    }

    /// Takes the next batch from the queue whose oldest has waited longer.
    fn next(&mut self, now: Instant, dropped: &mut Vec<Job>) -> Option<Batch> {
        let (tensors, texts) = self.heads();
        match (tensors, texts) {
            (Some(tensors), Some(texts)) if texts.oldest < tensors.oldest => self.next_texts(now, dropped),
            (None, Some(_)) => self.next_texts(now, dropped),
            (Some(_), _) => self.tensors.next(),
            (None, None) => None,
        }
    }

    fn next_texts(&mut self, now: Instant, dropped: &mut Vec<Job>) -> Option<Batch> {
        self.texts.as_mut()?.next(now, dropped)
    }

    /// Takes out what nobody wants any more, lest the living be refused because of the dead.
    fn sweep(&mut self, now: Instant, swept: &mut Vec<Job>) {
        if self.swept.is_some_and(|last| now.saturating_duration_since(last) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.tensors.sweep(|job| job.is_wanted(now), swept);
        if let Some(texts) = &mut self.texts {
            texts.sweep(now, |job| job.is_wanted(now), swept);
        }
    }
}
