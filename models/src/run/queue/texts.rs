//! Texts, put into runs by their lengths and by what runs cost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Batch, Head};
use crate::run::compose::{self, Next, Rules, Waiting};
use crate::run::flight::Cell;
use crate::run::grid::CostGrid;
use crate::run::job::{Job, dispatch};

/// Texts that wait for a worker.
pub(crate) struct Texts {
    waiting: Waiting<Job>,
    /// Batches that were dispatched while they waited, and their expected times.
    sealed: VecDeque<(Batch, Duration)>,
    grid: CostGrid,
    rules: Rules,
    /// What one request may take of a queue's bound.
    fair: Duration,
}

impl Texts {
    /// A queue that holds `max_queue` of work.
    pub(crate) fn new(grid: CostGrid, rules: Rules, max_queue: Duration) -> Self {
        Self { waiting: Waiting::default(), sealed: VecDeque::new(), grid, rules, fair: max_queue / 4 }
    }

    /// Adds a text, and says how long it is expected to take. Its request's texts before it take `before`: it counts as
    /// having come that much later, so that those of a large request are passed by others that come meanwhile. So it is
    /// no work that anybody would have to wait for, once the request has had a good part of the queue.
    pub(crate) fn push(&mut self, job: Job, before: Duration) -> Duration {
        let length = job.text().map_or(0, |text| text.sequence.len());
        let arrived = job.arrived + before;
        let text = compose::Text { length, arrived, deadline: job.deadline };
        let share = self.waiting.share(length, &self.grid, &self.rules);
        let work = if before > self.fair { Duration::ZERO } else { share };
        self.waiting.push_as(text, job, work);
        share
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sealed.iter().map(|(batch, _)| batch.jobs.len()).sum::<usize>()
    }

    pub(crate) fn work(&self) -> Duration {
        self.waiting.work() + self.sealed.iter().map(|(_, expected)| *expected).sum()
    }

    pub(crate) fn head(&self) -> Option<Head> {
        let sealed = self.sealed.front().and_then(|(batch, _)| batch.jobs.iter().map(|job| job.arrived).min());
        match sealed {
            Some(oldest) => Some(Head { oldest, full: true }),
            None => {
                Some(Head { oldest: self.waiting.oldest_arrival()?, full: self.waiting.len() >= self.rules.max_rows })
            }
        }
    }

    /// The next batch. Into `dropped` comes what it met that nobody wants any more.
    pub(crate) fn next(&mut self, now: Instant, dropped: &mut Vec<Job>) -> Option<Batch> {
        if let Some((batch, _)) = self.sealed.pop_front() {
            return Some(batch);
        }
        let next = self.waiting.next(now, &self.grid, &self.rules, |job| job.is_wanted(now));
        dropped.extend(next.dropped);
        let batch = next.batch?;
        let rows = batch.items.len();
        if batch.alike.min(self.rules.rows_at(batch.length)) >= rows * 2 {
            self.grid.pass_over(rows, batch.length);
        }
        Some(Batch { jobs: batch.items, dispatched: false, length: batch.length })
    }

    /// Dispatches the batch that the job of `cell` is going to be in, and those that are run before it, oldest first.
    /// False when it is not here.
    pub(crate) fn seal(&mut self, cell: &Arc<Cell>, now: Instant, dropped: &mut Vec<Job>) -> bool {
        let oldest_first = Rules { max_age: Duration::ZERO, ..self.rules.clone() };
        while cell.get().is_none() {
            if !self.waiting.items().any(|job| job.is_of(cell)) {
                return false;
            }
            let Next { batch, dropped: more } =
                self.waiting.next(now, &self.grid, &oldest_first, |job| job.is_wanted(now));
            dropped.extend(more);
            let Some(mut batch) = batch else { return false };
            dispatch(&mut batch.items);
            let jobs = Batch { jobs: batch.items, dispatched: true, length: batch.length };
            self.sealed.push_back((jobs, batch.expected));
        }
        true
    }

    /// Takes out all that nobody wants any more, but for what is dispatched.
    pub(crate) fn sweep(&mut self, now: Instant, wanted: impl Fn(&Job) -> bool, swept: &mut Vec<Job>) {
        swept.extend(self.waiting.sweep(now, wanted));
    }

    /// A run of `rows` texts padded to `length` tokens took this long.
    pub(crate) fn observe(&mut self, rows: usize, length: usize, took: Duration) {
        self.grid.observe(rows, length, took);
    }
}
