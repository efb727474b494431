//! One session under the watchdog: runs a batch of jobs and answers each of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{Answer, Execution, InferError, Job, Observer, Outcome};
use crate::backend::{Backend, RunError};
use crate::tensor::{Column, Tensor};
use crate::watchdog::{Slot, Watchdog};

/// A backend, its place under the watchdog, and who is told of its runs.
pub(crate) struct Session {
    backend: Box<dyn Backend>,
    slot: Arc<Slot>,
    observer: Arc<dyn Observer>,
    /// True when rows may be stacked, and then every output has the batch's number of rows.
    stacks: bool,
}

impl Session {
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        watchdog: &Watchdog,
        observer: Arc<dyn Observer>,
        stacks: bool,
    ) -> Self {
        let slot = watchdog.watch(backend.terminator());
        Self { backend, slot, observer, stacks }
    }

    /// Runs `jobs`, which stack, as one batch, and answers them. When that fails, each is run alone, so that one poison
    /// request does not fail its neighbours.
    ///
    /// Jobs of a run that was ended at its limit come back: `limit` is when this caller must have its thread back, not
    /// when the requests expire.
    pub(crate) fn run(&mut self, jobs: Vec<Job>, limit: impl Fn(&[Job]) -> Instant) -> Vec<Job> {
        let now = Instant::now();
        let (jobs, unwanted): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.is_wanted(now));
        for job in unwanted {
            job.answer(Err(InferError::Timeout));
        }
        match jobs.len() {
            0 => return Vec::new(),
            1 => return self.run_alone(jobs, limit),
            _ => {}
        }
        let stacked: Result<Vec<Tensor>, _> = (0..jobs[0].inputs.len())
            .map(|input| Tensor::stack(jobs.iter().map(move |job| &job.inputs[input])))
            .collect();
        let result = match stacked {
            Ok(inputs) => self.execute(&inputs, jobs.iter().map(|job| job.rows).sum(), jobs.len(), limit(&jobs)),
            Err(error) => Err(RunError::Failed(error.to_string())),
        };
        match result {
            Ok((columns, duration)) => {
                scatter(jobs, &columns.into(), now, duration);
                Vec::new()
            }
            Err(RunError::Terminated) => jobs,
            Err(_) => self.run_alone(jobs, limit),
        }
    }

    fn run_alone(&mut self, jobs: Vec<Job>, limit: impl Fn(&[Job]) -> Instant) -> Vec<Job> {
        let mut left = Vec::new();
        for job in jobs {
            let now = Instant::now();
            if !left.is_empty() {
                // The thread's time is up.
                left.push(job);
                continue;
            }
            match self.execute(&job.inputs, job.rows, 1, limit(std::slice::from_ref(&job))) {
                Ok((columns, duration)) => scatter(vec![job], &columns.into(), now, duration),
                Err(RunError::Terminated) => left.push(job),
                Err(RunError::InvalidInput(message)) => job.answer(Err(InferError::InvalidInput(message))),
                Err(RunError::Failed(message)) => job.answer(Err(InferError::Failed(message))),
            }
        }
        left
    }

    fn execute(
        &mut self,
        inputs: &[Tensor],
        rows: usize,
        requests: usize,
        limit: Instant,
    ) -> Result<(Vec<Column>, Duration), RunError> {
        let began = Instant::now();
        self.slot.arm(limit);
        // A panic in the backend is this batch's failure, not the reactor's.
        let result = catch_unwind(AssertUnwindSafe(|| self.backend.run(inputs)));
        let duration = began.elapsed();
        let terminated = self.slot.disarm();
        let result = match result {
            Ok(Ok(columns)) => self.check(columns, rows),
            Ok(Err(_)) if terminated => Err(RunError::Terminated),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RunError::Failed("the backend panicked".into())),
        };
        let outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(RunError::InvalidInput(_)) => Outcome::InvalidInput,
            Err(RunError::Terminated) => Outcome::Terminated,
            Err(RunError::Failed(_)) => Outcome::Failed,
        };
        self.observer.executed(&Execution { rows, requests, duration, outcome });
        result.map(|columns| (columns, duration))
    }

    /// A model must give every output, and one that stacks as many rows as it got: otherwise nobody knows whose they
    /// are.
    fn check(&self, columns: Vec<Column>, rows: usize) -> Result<Vec<Column>, RunError> {
        let declared = &self.backend.signature().outputs;
        if columns.len() != declared.len() {
            let (expected, got) = (declared.len(), columns.len());
            return Err(RunError::Failed(format!("the model declares {expected} outputs and gave {got}")));
        }
        match columns.iter().zip(declared).find(|(column, _)| column.rows() != rows) {
            Some((column, output)) if self.stacks => {
                let (name, got) = (output.name(), column.rows());
                Err(RunError::Failed(format!("output \"{name}\" has {got} rows for {rows} rows of input")))
            }
            _ => Ok(columns),
        }
    }
}

/// Gives each job its rows. A single job takes whatever the run gave.
fn scatter(jobs: Vec<Job>, columns: &Arc<[Column]>, began: Instant, executed: Duration) {
    let alone = jobs.len() == 1;
    let mut start = 0;
    for job in jobs {
        let rows = if alone { 0..columns.first().map_or(0, Column::rows) } else { start..start + job.rows };
        start += job.rows;
        let queued = began.saturating_duration_since(job.arrived);
        job.answer(Ok(Answer { columns: columns.clone(), rows, queued, executed }));
    }
}
