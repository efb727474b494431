//! One load: fetch, then open and warm up, each with its own bound on how many run at the same time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perch_models::artifact::Artifact;
use perch_models::backend::{LoadError, Loader};
use perch_models::registry::{Registry, Wanted};
use perch_models::version::{Context, ModelVersion, Settings};
use perch_router::track::Track;
use tokio::sync::Semaphore;

use super::Tools;
use super::model::{Loaded, Order};
use super::plan::Key;
use crate::config::{Config, Model, Placement, Threads};
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, ExecutionMetrics};

/// Fetches at the same time: they wait for the network, not for a core.
const FETCHES: usize = 4;

/// Bounds on what runs at the same time.
#[derive(Clone)]
pub(super) struct Slots {
    fetches: Arc<Semaphore>,
    loads: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(cores: usize) -> Self {
        Self { fetches: Arc::new(Semaphore::new(FETCHES)), loads: Arc::new(Semaphore::new(cores)) }
    }
}

/// What is to be loaded.
pub(super) struct Job {
    pub(super) model: String,
    /// The model's name in the registry.
    pub(super) source: String,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) order: Order,
    pub(super) settings: Settings,
}

/// How it ended.
pub(super) struct Report {
    pub(super) model: String,
    pub(super) track: Track,
    pub(super) key: Key,
    pub(super) result: Result<Loaded, Failed>,
}

/// Why a load failed, and how long the pause before another try may become.
pub(super) struct Failed {
    pub(super) error: String,
    pub(super) longest: Duration,
    /// The digest of its files, where they could be had.
    pub(super) digest: Option<String>,
    /// It was not even tried: a rollout has taken it out.
    pub(super) rests: bool,
}

impl Failed {
    fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), longest: Duration::from_secs(60), digest: None, rests: false }
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Self {
        let failed = Self::new(error.to_string());
        match error {
            // Each try downloads everything again, and only a person will mend it.
            LoadError::Digest { .. } => Self { longest: Duration::from_secs(600), ..failed },
            _ => failed,
        }
    }
}

/// How a model of this configuration is loaded with `loader`.
pub(super) fn settings(model: &Model, config: &Config, loader: &dyn Loader, cores: usize) -> Settings {
    let threads = match model.threads.unwrap_or(config.runtime.threads) {
        Threads::Auto => cores,
        Threads::Fixed(count) => count.get(),
    };
    let Placement { device, precision, memory_limit, agreement } = model.placement(&config.runtime);
    // One that cannot be used fails the load, which says why.
    let device = loader.resolve(device).unwrap_or(device);
    Settings {
        device,
        precision,
        memory_limit,
        agreement,
        buckets: model.batching.buckets.clone().unwrap_or_else(|| device.buckets().to_vec()),
        threads,
        instances: model.instances.map_or(1, NonZeroUsize::get),
        max_rows: model.batching.max_rows,
        max_queue: model.batching.max_queue,
        max_delay: model.batching.max_delay,
        load_timeout: model.load_timeout,
    }
}

/// Fetches and loads.
pub(super) async fn run(job: Job, tools: Arc<Tools>, slots: Slots, lifecycle: Arc<Lifecycle>) -> Report {
    let Job { model, source, registry, order, settings } = job;
    let Order { track, key, listed, download, again, resting } = order;
    let wanted = Wanted { model: &source, version: key.version, listed: &listed, again, progress: download };
    let fetched = {
        // The semaphores are never closed.
        let _slot = slots.fetches.acquire().await;
        registry.fetch(wanted).await
    };
    let result = match fetched {
        Ok(artifact) if resting.contains(&artifact.digest) => Err(Failed {
            rests: true,
            digest: Some(artifact.digest),
            ..Failed::new("it was taken out of a rollout: start it again with `perch rollout retry`")
        }),
        Ok(artifact) => {
            let digest = artifact.digest.clone();
            let _slot = slots.loads.acquire().await;
            let (name, tasks) = (model.clone(), lifecycle.tasks());
            let loading = lifecycle.spawn_blocking(move || open(&name, track, key, artifact, &settings, &tools, tasks));
            let loaded = loading.await;
            let loaded = loaded.unwrap_or_else(|error| Err(Failed::new(format!("loading it panicked: {error}"))));
            loaded.map_err(|failed| Failed { digest: Some(digest), ..failed })
        }
        Err(error) => {
            metrics::count_load(&model, false);
            // Files that are here and are no model have no digest; what the registry lists of them tells them apart.
            let unreadable = matches!(error, LoadError::Graph(_) | LoadError::Unsupported(_));
            let digest = unreadable.then(|| format!("unreadable:{}:{:016x}", key.version, key.fingerprint));
            Err(Failed { digest, ..error.into() })
        }
    };
    Report { model, track, key, result }
}

fn open(
    model: &str,
    track: Track,
    key: Key,
    artifact: Artifact,
    settings: &Settings,
    tools: &Tools,
    tasks: tokio_util::task::TaskTracker,
) -> Result<Loaded, Failed> {
    let began = Instant::now();
    let executions = Arc::new(ExecutionMetrics::new(model, key.version));
    executions.set_track(track);
    let observer = executions.clone();
    let (loader, watchdog, turns) = (tools.loader.as_ref(), &tools.watchdog, tools.turns.clone());
    let context = Context { loader, watchdog, observer, turns, tasks };
    let runtime = ModelVersion::load(artifact, settings, &context).map_err(Failed::from);
    metrics::record_load(model, began.elapsed(), runtime.is_ok());
    runtime.map(|runtime| Loaded { key, runtime: Arc::new(runtime), executions })
}
