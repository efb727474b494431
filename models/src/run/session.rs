//! One session under the watchdog: runs a batch of jobs and answers each of them.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

use super::answer::{Execution, Observer, Outcome, Tokens};
use super::home::deliver;
use super::job::{Input, Job, dispatch, flight};
use super::queue::Batch;
use super::scatter::{fail, scatter};
use crate::backend::{Backend, RunError};
use crate::tensor::{Column, Tensor};
use crate::text::{Sequence, TextModel};
use crate::version::Context;
use crate::watchdog::Slot;

/// A backend, its place under the watchdog, and who is told of its runs.
pub(crate) struct Session {
    backend: Box<dyn Backend>,
    slot: Arc<Slot>,
    observer: Arc<dyn Observer>,
    /// True when rows may be stacked, and then every output has the batch's number of rows.
    stacks: bool,
    /// What lies between texts and the graph, where it takes any.
    text: Option<Arc<TextModel>>,
    /// Shutdown waits for answers that are on their way to a reactor.
    tasks: TaskTracker,
}

/// What became of a batch.
pub(crate) struct Ran {
    /// Jobs of a run that was ended at its limit.
    pub(crate) left: Vec<Job>,
    /// The time of a run of texts that went well.
    pub(crate) texts: Option<Seen>,
}

/// A run of texts that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) rows: usize,
    /// What they were padded to, in tokens.
    pub(crate) length: usize,
    pub(crate) took: Duration,
}

impl Ran {
    const fn left(left: Vec<Job>) -> Self {
        Self { left, texts: None }
    }
}

impl Session {
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        context: &Context<'_>,
        stacks: bool,
        text: Option<Arc<TextModel>>,
    ) -> Self {
        let slot = context.watchdog.watch(backend.terminator());
        Self { backend, slot, observer: context.observer.clone(), stacks, text, tasks: context.tasks.clone() }
    }

    /// Runs jobs, which stack, as one batch, and answers them. When that fails, each is run alone, so that one poison
    /// request does not fail its neighbours, or, where somebody else answers them, all fail together.
    ///
    /// Jobs of a run that was ended at its limit come back: `limit` is when this caller must have its thread back, not
    /// when the requests expire.
    pub(crate) fn run(&mut self, batch: Batch, limit: impl Fn(&[Job]) -> Instant) -> Ran {
        let Batch { jobs, dispatched, length } = batch;
        let now = Instant::now();
        let (mut jobs, unwanted): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.is_wanted(now));
        unwanted.into_iter().for_each(Job::drop_unrun);
        if jobs.len() < 2 {
            return self.run_alone(jobs, (dispatched, length), limit);
        }
        let flight = if dispatched { flight(&jobs) } else { dispatch(&mut jobs) };
        let error = match self.execute(&jobs, length, limit(&jobs)) {
            Ok(done) => return self.answer(jobs, done, now),
            Err(RunError::Terminated) => return Ran::left(jobs),
            Err(error) => error,
        };
        match flight {
            Some(flight) if flight.answered_elsewhere() => {
                flight.failed();
                let (followed, others) = jobs.into_iter().partition(|job| job.followed.is_some());
                deliver(fail(followed, error), &self.tasks);
                self.run_alone(others, (false, 0), limit)
            }
            flight => {
                if let Some(flight) = flight {
                    flight.withdrawn();
                }
                self.run_alone(jobs, (false, 0), limit)
            }
        }
    }

    fn run_alone(
        &mut self,
        jobs: Vec<Job>,
        (dispatched, length): (bool, usize),
        limit: impl Fn(&[Job]) -> Instant,
    ) -> Ran {
        let mut ran = Ran::left(Vec::new());
        for mut job in jobs {
            let now = Instant::now();
            if !ran.left.is_empty() {
                // The thread's time is up.
                ran.left.push(job);
                continue;
            }
            let one = std::slice::from_mut(&mut job);
            if !dispatched {
                dispatch(one);
            }
            match self.execute(one, length, limit(one)) {
                Ok(done) => ran.texts = self.answer(vec![job], done, now).texts,
                Err(RunError::Terminated) => ran.left.push(job),
                Err(error) => {
                    if let Some(flight) = flight(std::slice::from_ref(&job)) {
                        flight.failed();
                    }
                    deliver(fail(vec![job], error), &self.tasks);
                }
            }
        }
        ran
    }

    /// Gives a batch that went well its answers.
    fn answer(&self, jobs: Vec<Job>, done: Done, began: Instant) -> Ran {
        let Done { columns, duration: took, length } = done;
        let texts = length.map(|length| Seen { rows: jobs.len(), length, took });
        let (columns, times, text) = (columns.into(), (began, took), self.text.as_deref());
        if jobs.iter().any(|job| job.home.is_some()) {
            let mut answers = Vec::with_capacity(jobs.len());
            scatter(jobs, &columns, times, text, |job, result| answers.push((job, result)));
            deliver(answers, &self.tasks);
        } else {
            scatter(jobs, &columns, times, text, Job::answer);
        }
        Ran { left: Vec::new(), texts }
    }

    fn execute(&mut self, jobs: &[Job], length: usize, limit: Instant) -> Result<Done, RunError> {
        let (inputs, length) = self.inputs(jobs, length)?;
        let rows = jobs.iter().map(|job| job.rows).sum();
        let began = Instant::now();
        self.slot.arm(limit);
        // A panic in the backend is this batch's failure, not the reactor's.
        let result = catch_unwind(AssertUnwindSafe(|| self.backend.run(&inputs)));
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
            Err(RunError::Failed(_) | RunError::InvalidOutput(_)) => Outcome::Failed,
        };
        let real = || jobs.iter().filter_map(Job::text).map(|text| text.sequence.len()).sum();
        let tokens = length.map(|length| Tokens { real: real(), padded: rows * length });
        self.observer.executed(&Execution { rows, requests: jobs.len(), duration, outcome, tokens });
        result.map(|columns| Done { columns, duration, length })
    }

    /// What the backend gets, and the length that texts were padded to. A single job's tensors are taken as they are.
    fn inputs<'j>(&self, jobs: &'j [Job], length: usize) -> Result<(Cow<'j, [Tensor]>, Option<usize>), RunError> {
        let tensors = |job: &'j Job| match &job.input {
            Input::Tensors(tensors) => Some(tensors),
            Input::Text(_) => None,
        };
        if let [job] = jobs
            && let Some(tensors) = tensors(job)
        {
            return Ok((Cow::Borrowed(tensors), None));
        }
        if let Some(text) = &self.text {
            let rows: Vec<&Sequence> = jobs.iter().filter_map(Job::text).map(|text| &text.sequence).collect();
            if rows.len() == jobs.len() {
                let inputs = text.inputs(&rows, length);
                let length = inputs.first().and_then(|tensor| tensor.shape().get(1).copied());
                return Ok((Cow::Owned(inputs), length));
            }
        }
        let jobs: Vec<&Vec<Tensor>> = jobs.iter().filter_map(tensors).collect();
        let width = jobs.first().map_or(0, |inputs| inputs.len());
        let stacked = (0..width).map(|input| Tensor::stack(jobs.iter().map(|inputs| &inputs[input]))).collect();
        let stacked: Vec<Tensor> =
            Result::map_err(stacked, |error: crate::tensor::ShapeError| RunError::Failed(error.to_string()))?;
        Ok((Cow::Owned(stacked), None))
    }

    /// A model must give every output, and one that stacks as many rows as it got: otherwise nobody knows whose they
    /// are.
    fn check(&self, columns: Vec<Column>, rows: usize) -> Result<Vec<Column>, RunError> {
        let declared = &self.backend.signature().outputs;
        if columns.len() != declared.len() {
            let (expected, got) = (declared.len(), columns.len());
            return Err(RunError::InvalidOutput(format!("the model declares {expected} outputs and gave {got}")));
        }
        match columns.iter().zip(declared).find(|(column, _)| column.rows() != rows) {
            Some((column, output)) if self.stacks => {
                let (name, got) = (output.name(), column.rows());
                Err(RunError::InvalidOutput(format!("output \"{name}\" has {got} rows for {rows} rows of input")))
            }
            _ => Ok(columns),
        }
    }
}

/// A run that went well.
struct Done {
    columns: Vec<Column>,
    duration: Duration,
    /// What texts were padded to.
    length: Option<usize>,
}
