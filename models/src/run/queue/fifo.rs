//! Tensors, first come, first run: neighbours that stack share a run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Batch, Head};
use crate::cost::CostCurve;
use crate::run::flight::Cell;
use crate::run::job::{Job, dispatch};
use crate::run::lane::batch_len;

/// Jobs in the order they came.
pub(crate) struct Fifo {
    jobs: VecDeque<Job>,
    /// How many of the jobs at the front make each of the batches that were dispatched while they waited.
    sealed: VecDeque<usize>,
    /// Estimated time of `jobs`.
    work: Duration,
    /// Rows of `jobs`.
    rows: usize,
    cost: CostCurve,
    max_rows: usize,
}

impl Fifo {
    pub(crate) const fn new(cost: CostCurve, max_rows: usize) -> Self {
        Self { jobs: VecDeque::new(), sealed: VecDeque::new(), work: Duration::ZERO, rows: 0, cost, max_rows }
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.work += self.cost.estimate(job.rows);
        self.rows += job.rows;
        self.jobs.push_back(job);
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) const fn work(&self) -> Duration {
        self.work
    }

    pub(crate) fn head(&self) -> Option<Head> {
        let oldest = self.jobs.front()?.arrived;
        Some(Head { oldest, full: !self.sealed.is_empty() || self.rows >= self.max_rows })
    }

    /// The next batch.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        let sealed = self.sealed.pop_front();
        let count = sealed.unwrap_or_else(|| batch_len(self.jobs.make_contiguous(), self.max_rows));
        let jobs: Vec<Job> = self.jobs.drain(..count).collect();
        jobs.iter().for_each(|job| self.gone(job));
        (!jobs.is_empty()).then_some(Batch { jobs, dispatched: sealed.is_some(), length: 0 })
    }

    /// Dispatches the batch that the job of `cell` is going to be in, and those before it. False when it is not here.
    pub(crate) fn seal(&mut self, cell: &Arc<Cell>) -> bool {
        while cell.get().is_none() {
            let start = self.sealed.iter().sum();
            let jobs = &mut self.jobs.make_contiguous()[start..];
            if !jobs.iter().any(|job| job.is_of(cell)) {
                return false;
            }
            let count = batch_len(jobs, self.max_rows);
            dispatch(&mut jobs[..count]);
            self.sealed.push_back(count);
        }
        true
    }

    /// Takes out all that nobody wants any more, but for what is dispatched.
    pub(crate) fn sweep(&mut self, wanted: impl Fn(&Job) -> bool, swept: &mut Vec<Job>) {
        let sealed: usize = self.sealed.iter().sum();
        let rest = self.jobs.split_off(sealed);
        for job in rest {
            if wanted(&job) {
                self.jobs.push_back(job);
            } else {
                self.gone(&job);
                swept.push(job);
            }
        }
    }

    /// A job is not here any more.
    fn gone(&mut self, job: &Job) {
        self.work = self.work.saturating_sub(self.cost.estimate(job.rows));
        self.rows -= job.rows;
    }
}
