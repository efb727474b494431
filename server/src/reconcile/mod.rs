//! Follows the registry: loads what it wants, off the request path, and publishes what is ready.
//!
//! One task owns all state. Loads run on blocking threads and report back to it; every change is published as one
//! snapshot. What a snapshot replaces is kept until its last request is done and is freed off the reactors.

mod model;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use perch_models::artifact::Artifact;
use perch_models::backend::Loader;
use perch_models::registry::Registry;
use perch_models::version::{Context, ModelVersion, Settings};
use perch_models::watchdog::Watchdog;
use perch_router::track::Track;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use self::model::{Loaded, ModelState, Order};
use self::plan::Key;
use crate::catalog::{Catalog, RegistryReport, Snapshot};
use crate::config::{Config, Model, Threads};
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, ExecutionMetrics};

/// What loading is done with.
pub struct Tools {
    /// Opens sessions.
    pub loader: Arc<dyn Loader>,
    /// Ends runs.
    pub watchdog: Watchdog,
    /// Lists models.
    pub registry: Arc<dyn Registry>,
    /// Cores of the process, each with a reactor.
    pub cores: usize,
}

struct Report {
    model: String,
    track: Track,
    key: Key,
    result: Result<Loaded, String>,
}

/// The task's state.
pub struct Reconciler {
    config: Arc<Config>,
    tools: Tools,
    catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    models: BTreeMap<String, ModelState>,
    registry: RegistryReport,
    /// Bounds loads at the same time.
    slots: Arc<Semaphore>,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    /// Versions that were replaced and may still be running requests.
    retired: Vec<Arc<ModelVersion>>,
    first: bool,
}

impl Reconciler {
    /// A reconciler that has done nothing yet.
    #[must_use]
    pub fn new(config: Arc<Config>, tools: Tools, catalog: Arc<Catalog>, lifecycle: Arc<Lifecycle>) -> Self {
        let slots = Arc::new(Semaphore::new(tools.cores));
        let configured = |model: &Model| (model.name.clone(), ModelState::new(model.clone(), model.required));
        let models = config.models.iter().map(configured).collect();
        Self {
            config,
            tools,
            catalog,
            lifecycle,
            models,
            registry: RegistryReport::default(),
            slots,
            reports: mpsc::unbounded_channel(),
            retired: Vec::new(),
            first: true,
        }
    }

    /// Follows the registry until shutdown.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(self.config.registry.poll);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopping = self.lifecycle.stopping().clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = tick.tick() => tokio::select! {
                    () = stopping.cancelled() => return,
                    () = self.poll() => {}
                },
                Some(report) = self.reports.1.recv() => self.finish(report),
            }
            self.advance();
            self.retire();
        }
    }

    async fn poll(&mut self) {
        let listing = match self.tools.registry.list().await {
            Ok(listing) => listing,
            Err(error) => {
                metrics::set_registry_up(false);
                if self.registry.error.as_ref() != Some(&error.0) {
                    tracing::error!(error = error.0, "the registry cannot be read; what is loaded goes on serving");
                }
                self.registry.error = Some(error.0);
                return;
            }
        };
        metrics::set_registry_up(true);
        self.registry = RegistryReport { last_success: Some(SystemTime::now()), error: None };
        if self.config.models.is_empty() {
            for name in listing.keys().filter(|name| !self.models.contains_key(*name)).cloned().collect::<Vec<_>>() {
                // A model that appears later must not make a server unready that was ready without it.
                let state = ModelState::new(Model::named(&name), self.first);
                self.models.insert(name, state);
            }
        }
        self.first = false;
        for (name, state) in &mut self.models {
            state.observe(listing.get(name).cloned().unwrap_or_default());
        }
    }

    fn advance(&mut self) {
        let now = Instant::now();
        let mut orders = Vec::new();
        for (name, state) in &mut self.models {
            if let Some(order) = state.advance(now) {
                orders.push((name.clone(), order));
            }
        }
        for (name, order) in orders {
            self.load(name, order);
        }
        self.publish();
    }

    fn publish(&mut self) {
        let before = self.catalog.load_full();
        let models = self.models.iter().map(|(name, state)| (name.clone(), state.entry()));
        let snapshot = Snapshot { models: models.collect(), registry: self.registry.clone() };
        let runtimes = |snapshot: &Snapshot| -> Vec<Arc<ModelVersion>> {
            let entries = snapshot.models.values();
            entries
                .flat_map(|entry| [&entry.stable, &entry.canary])
                .flatten()
                .map(|served| served.runtime.clone())
                .collect()
        };
        let kept = runtimes(&snapshot);
        let gone = runtimes(&before).into_iter().filter(|old| !kept.iter().any(|new| Arc::ptr_eq(old, new)));
        self.retired.extend(gone);
        for served in snapshot.models.values().flat_map(|entry| [&entry.stable, &entry.canary]).flatten() {
            let runtime = &served.runtime;
            let inline = runtime.mode() == perch_models::version::Mode::Inline;
            metrics::set_version(&served.model, served.version, runtime.sessions(), inline, runtime.queue_depth());
        }
        metrics::set_ready(snapshot.is_ready() && !self.lifecycle.is_draining());
        self.catalog.publish(snapshot);
    }

    fn load(&self, name: String, order: Order) {
        let Some(settings) = self.models.get(&name).map(|state| self.settings(&state.settings)) else { return };
        let reports = self.reports.0.clone();
        let slots = self.slots.clone();
        let (loader, watchdog) = (self.tools.loader.clone(), self.tools.watchdog.clone());
        let tasks = self.lifecycle.tasks();
        let lifecycle = self.lifecycle.clone();
        self.lifecycle.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire_owned().await;
            let Order { track, key, listed } = order;
            let model = name.clone();
            let loading = lifecycle.spawn_blocking(move || {
                let began = Instant::now();
                let executions = Arc::new(ExecutionMetrics::new(&model, key.version));
                executions.set_track(track);
                let observer = executions.clone();
                let context = Context { loader: loader.as_ref(), watchdog: &watchdog, observer, tasks };
                let runtime = Artifact::open(&listed.dir)
                    .and_then(|artifact| ModelVersion::load(&artifact, &settings, &context))
                    .map_err(|error| error.to_string());
                metrics::record_load(&model, began.elapsed(), runtime.is_ok());
                runtime.map(|runtime| Loaded { key, runtime: Arc::new(runtime), executions })
            });
            let result = loading.await.unwrap_or_else(|error| Err(format!("loading it panicked: {error}")));
            // Nobody listens any more at shutdown.
            let _ = reports.send(Report { model: name, track, key, result });
        });
    }

    fn settings(&self, model: &Model) -> Settings {
        let threads = match model.threads.unwrap_or(self.config.runtime.threads) {
            Threads::Auto => self.tools.cores,
            Threads::Fixed(count) => count.get(),
        };
        Settings {
            device: model.device.unwrap_or(self.config.runtime.device),
            threads,
            instances: model.instances.map_or(1, std::num::NonZeroUsize::get),
            reactors: self.tools.cores,
            max_rows: model.batching.max_rows,
            max_queue: model.batching.max_queue,
            load_timeout: model.load_timeout,
        }
    }

    fn finish(&mut self, report: Report) {
        if let Some(state) = self.models.get_mut(&report.model) {
            state.finish(report.track, report.key, report.result, Instant::now());
        }
    }

    /// Frees versions whose last request is done, where it blocks nobody.
    fn retire(&mut self) {
        let (done, running): (Vec<_>, Vec<_>) =
            self.retired.drain(..).partition(|version| Arc::strong_count(version) == 1);
        self.retired = running;
        if !done.is_empty() {
            let loader = self.tools.loader.clone();
            self.lifecycle.spawn_blocking(move || {
                drop(done);
                // Its threads end after their last batch: give them a moment before the memory is handed back.
                std::thread::sleep(Duration::from_millis(50));
                loader.trim();
            });
        }
    }
}
