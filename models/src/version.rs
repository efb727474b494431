//! One loaded version of a model: where its requests are run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::artifact::Artifact;
use crate::artifacts::cache::Lease;
use crate::backend::{Backend, Device, LoadError, Loader, SessionOptions};
use crate::cost::CostCurve;
use crate::declared::differences;
use crate::example::Example;
use crate::run::job::Job;
use crate::run::lane::{Lane, Shared};
use crate::run::pool::Pool;
use crate::run::session::Session;
use crate::run::{Answer, InferError, Observer};
use crate::signature::Signature;
use crate::tensor::Tensor;
use crate::warmup::{Profile, WarmUp};
use crate::watchdog::Watchdog;

/// A model whose runs are shorter than this runs inline: a hand-off to another thread would cost more than it saves.
const INLINE_RUN: Duration = Duration::from_micros(300);
/// No single inline run is expected to hold its reactor longer than this; larger requests go to the workers.
const INLINE_MOST: Duration = Duration::from_micros(500);
/// Graphs up to this size are first opened with one thread, since most of them turn out to run inline.
const SMALL_GRAPH: u64 = 32 << 20;

/// How a version is loaded and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it computes.
    pub device: Device,
    /// Threads of one run in worker mode.
    pub threads: usize,
    /// Sessions in worker mode, each with a thread of its own.
    pub instances: usize,
    /// Reactors: sessions of an inline model.
    pub reactors: usize,
    /// The largest batch to compose, in rows.
    pub max_rows: usize,
    /// Work that may wait in worker mode.
    pub max_queue: Duration,
    /// Time for opening and warming up.
    pub load_timeout: Duration,
}

/// What loading needs from its surroundings.
pub struct Context<'c> {
    /// Opens sessions.
    pub loader: &'c dyn Loader,
    /// Ends runs.
    pub watchdog: &'c Watchdog,
    /// Is told of every execution.
    pub observer: Arc<dyn Observer>,
    /// Waits for what runs inline at shutdown.
    pub tasks: TaskTracker,
}

/// How a version is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On the reactors.
    Inline,
    /// On threads of its own.
    Worker,
}

/// A loaded version, warm and ready to run. Dropping it ends its threads.
pub struct ModelVersion {
    signature: Arc<Signature>,
    digest: String,
    profile: Profile,
    lanes: Box<[Arc<Lane>]>,
    shared: Arc<Shared>,
    sessions: usize,
    /// Sessions may read their weights from the files for as long as they live.
    _lease: Option<Lease>,
}

impl ModelVersion {
    /// Opens, warms up and measures. It blocks for as long as that takes.
    ///
    /// # Errors
    /// Says what is wrong with the version.
    pub fn load(mut artifact: Artifact, settings: &Settings, context: &Context<'_>) -> Result<Self, LoadError> {
        let lease = artifact.lease.take();
        let artifact = &artifact;
        let deadline = Instant::now() + settings.load_timeout;
        let name = artifact.dir.display().to_string();
        let opener = Opener { artifact, settings, context, deadline };
        let first_threads = if artifact.bytes <= SMALL_GRAPH { 1 } else { settings.threads };
        let mut first = opener.open(first_threads)?;
        let signature = Arc::new(first.signature().clone());
        for difference in differences(&artifact.declared, &signature) {
            tracing::warn!(path = name, "{difference}");
        }
        let example = Example::load(&artifact.examples, &signature)?;
        let mut profile = opener.warm_up(first.as_mut(), &example)?;

        let inline = profile.cost.estimate(1) < INLINE_RUN && !matches!(settings.device, Device::Cuda(_));
        let mut workers: Vec<Box<dyn Backend>> = Vec::new();
        let mut lanes: Vec<Box<dyn Backend>> = Vec::new();
        if inline {
            workers.push(first);
            lanes = opener.open_many(settings.reactors, 1)?;
        } else {
            if first_threads == settings.threads {
                workers.push(first);
            } else {
                drop(first);
                workers.push(opener.open(settings.threads)?);
                profile = opener.warm_up(workers[0].as_mut(), &example)?;
            }
            workers.extend(opener.open_many(settings.instances.saturating_sub(1), settings.threads)?);
        }
        // A copy that never ran allocates on its first request: let that not be a user's.
        for backend in workers.iter_mut().skip(1).chain(&mut lanes) {
            opener.run_once(backend.as_mut(), &example)?;
        }
        let sessions = workers.len() + lanes.len();
        let session = |backend| Session::new(backend, context.watchdog, context.observer.clone(), profile.stacks);
        let stacked = |budget| if profile.stacks { profile.cost.best_batch(settings.max_rows, budget) } else { 1 };
        let pool = Pool::start(
            "perch-worker",
            workers.into_iter().map(session).collect(),
            profile.cost.clone(),
            stacked(Duration::MAX),
            settings.max_queue,
        )
        .map_err(|error| LoadError::Files(format!("{name}: cannot start a thread: {error}")))?;
        let shared = Arc::new(Shared { inline: AtomicBool::new(inline), pool, tasks: context.tasks.clone() });
        let lane = |backend| Arc::new(Lane::new(session(backend), stacked(INLINE_RUN), shared.clone()));
        let lanes = lanes.into_iter().map(lane).collect();
        Ok(Self { signature, digest: artifact.digest.clone(), profile, lanes, shared, sessions, _lease: lease })
    }

    /// What the graph declares.
    #[must_use]
    pub const fn signature(&self) -> &Arc<Signature> {
        &self.signature
    }

    /// The digest of its files.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How it is run at present.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.shared.inline.load(Ordering::Acquire) && !self.lanes.is_empty() { Mode::Inline } else { Mode::Worker }
    }

    /// Copies of the model in memory.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.sessions
    }

    /// Measured costs.
    #[must_use]
    pub const fn cost(&self) -> &CostCurve {
        &self.profile.cost
    }

    /// Requests waiting for a worker.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.shared.pool.depth()
    }

    /// Runs one request's rows, on the lane of `reactor` or on a worker.
    ///
    /// `inputs` are in the signature's order and were [checked](Signature::check); `arrived` is when the request did.
    ///
    /// # Errors
    /// See [`InferError`].
    pub async fn infer(
        &self,
        reactor: usize,
        inputs: Vec<Tensor>,
        arrived: Instant,
        deadline: Instant,
    ) -> Result<Answer, InferError> {
        let rows = self.rows(&inputs)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { inputs, rows, arrived, deadline, reply };
        let answer = match self.lanes.get(reactor) {
            Some(lane) if self.mode() == Mode::Inline && self.cost().estimate(rows) <= INLINE_MOST => {
                lane.submit(job);
                // A lane runs on this very thread and is ended by the watchdog: no timer could fire earlier.
                answer.await
            }
            _ => {
                self.shared.pool.push(job);
                // A worker answers at the deadline too, but a kernel that cannot be ended must not hold the client.
                match tokio::time::timeout_at(deadline.into(), answer).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(InferError::Timeout),
                }
            }
        };
        // A sender that is dropped unanswered means that its thread is gone.
        answer.unwrap_or(Err(InferError::Unloaded))
    }

    /// Rows of a request. Where rows are stacked, all inputs must have the same number.
    fn rows(&self, inputs: &[Tensor]) -> Result<usize, InferError> {
        let rows = inputs.first().map_or(1, Tensor::rows);
        let odd = inputs.iter().zip(&self.signature.inputs).find(|(tensor, _)| tensor.rows() != rows);
        match odd {
            Some((tensor, spec)) if self.profile.stacks => Err(InferError::InvalidInput(format!(
                "input \"{}\" has {} rows, but input \"{}\" has {rows}",
                spec.name,
                tensor.rows(),
                self.signature.inputs[0].name
            ))),
            _ => Ok(rows),
        }
    }
}

impl Drop for ModelVersion {
    fn drop(&mut self) {
        self.shared.pool.close();
    }
}

/// Opens sessions of one artifact.
struct Opener<'o> {
    artifact: &'o Artifact,
    settings: &'o Settings,
    context: &'o Context<'o>,
    deadline: Instant,
}

impl Opener<'_> {
    fn open(&self, threads: usize) -> Result<Box<dyn Backend>, LoadError> {
        let graph = self.artifact.graph.clone();
        self.context.loader.open(&SessionOptions { graph, device: self.settings.device, threads })
    }

    fn open_many(&self, count: usize, threads: usize) -> Result<Vec<Box<dyn Backend>>, LoadError> {
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..count).map(|_| scope.spawn(move || self.open(threads))).collect();
            let panicked = |_| Err(LoadError::Graph("opening it panicked".into()));
            opening.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        })
    }

    fn warm_up(&self, backend: &mut dyn Backend, example: &Example) -> Result<Profile, LoadError> {
        let slot = self.context.watchdog.watch(backend.terminator());
        WarmUp { backend, slot, deadline: self.deadline }.run(example, self.settings.max_rows)
    }

    fn run_once(&self, backend: &mut dyn Backend, example: &Example) -> Result<(), LoadError> {
        let slot = self.context.watchdog.watch(backend.terminator());
        slot.arm(self.deadline);
        let result = backend.run(&example.inputs);
        match (result, slot.disarm()) {
            (_, true) => Err(LoadError::WarmUp("the model gave no answer within the load timeout".into())),
            (Err(error), _) if example.given => Err(LoadError::WarmUp(format!("on the input example: {error}"))),
            _ => Ok(()),
        }
    }
}
