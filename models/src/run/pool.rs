//! Worker mode: threads that own sessions, behind a queue that is bounded by the time its work will take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::job::{InferError, Job};
use super::lane::batch_len;
use super::session::Session;
use crate::cost::CostCurve;

/// A queue and its threads.
pub(crate) struct Pool {
    state: Mutex<State>,
    wake: Condvar,
    cost: CostCurve,
    max_rows: usize,
    max_queue: Duration,
}

struct State {
    jobs: VecDeque<Job>,
    /// Estimated time of `jobs`, divided among `workers`.
    waiting: Duration,
    workers: u32,
    closed: bool,
}

impl Pool {
    /// Starts one thread a session.
    pub(crate) fn start(
        name: &str,
        sessions: Vec<Session>,
        cost: CostCurve,
        max_rows: usize,
        max_queue: Duration,
    ) -> std::io::Result<Arc<Self>> {
        let workers = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        let state = State { jobs: VecDeque::new(), waiting: Duration::ZERO, workers, closed: false };
        let pool = Arc::new(Self { state: Mutex::new(state), wake: Condvar::new(), cost, max_rows, max_queue });
        for session in sessions {
            let worker = Arc::clone(&pool);
            thread::Builder::new().name(name.to_owned()).spawn(move || worker.work(session))?;
        }
        Ok(pool)
    }

    /// Queues a job, or answers it at once when the queue is full.
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return job.answer(Err(InferError::Unloaded));
        }
        let waiting = state.waiting / state.workers;
        if waiting > self.max_queue {
            drop(state);
            let waiting_ms = u64::try_from(waiting.as_millis()).unwrap_or(u64::MAX);
            return job.answer(Err(InferError::Overloaded { waiting_ms }));
        }
        state.waiting += self.cost.estimate(job.rows);
        state.jobs.push_back(job);
        drop(state);
        self.wake.notify_one();
    }

    /// Requests in the queue.
    pub(crate) fn depth(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Ends the threads once the queue is empty.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    fn work(&self, mut session: Session) {
        while let Some(batch) = self.next() {
            let left =
                session.run(batch, |jobs| jobs.iter().map(|job| job.deadline).max().unwrap_or_else(Instant::now));
            for job in left {
                // It ran until the last of its batch expired. One that joined late and was ended with it starts anew.
                if job.is_wanted(Instant::now()) {
                    self.push(job);
                } else {
                    job.answer(Err(InferError::Timeout));
                }
            }
        }
    }

    /// Waits for the next batch; `None` when the pool is closed and empty.
    fn next(&self) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        loop {
            if !state.jobs.is_empty() {
                let count = batch_len(state.jobs.make_contiguous(), self.max_rows);
                let batch: Vec<Job> = state.jobs.drain(..count).collect();
                let cost = batch.iter().map(|job| self.cost.estimate(job.rows)).sum();
                state.waiting = state.waiting.saturating_sub(cost);
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }
}
