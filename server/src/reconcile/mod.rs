//! Follows the registry: fetches and loads what it wants, off the request path, and publishes what is ready.
//!
//! One task owns all state. Pollers tell it what the registries list, loads report back to it, and every change is
//! published as one snapshot. What a snapshot replaces is kept until its last request is done and is freed off the
//! reactors.

mod download;
mod load;
mod model;
mod plan;
mod poller;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use perch_models::backend::Loader;
use perch_models::registry::{DIGEST_TAG, ERROR_TAG, Listing, STATE_TAG};
use perch_models::run::Turns;
use perch_models::version::{Mode, ModelVersion};
use perch_models::watchdog::Watchdog;
use tokio::sync::{Notify, mpsc};

use self::load::{Report, Slots};
use self::model::{ModelState, Order};
use self::poller::{Heard, Poller};
use crate::cache::ResponseCache;
use crate::catalog::{Catalog, RegistryReport, Snapshot};
use crate::config::{Config, Model};
use crate::lifecycle::Lifecycle;
use crate::metrics;
use crate::registries::Registries;
use crate::rollouts::Rollouts;
use crate::writeback::WriteBack;

pub use download::Download;

/// What loading is done with.
pub struct Tools {
    /// Opens sessions.
    pub loader: Arc<dyn Loader>,
    /// Ends runs.
    pub watchdog: Watchdog,
    /// Where models come from.
    pub registries: Arc<Registries>,
    /// Takes what is written back.
    pub writes: WriteBack,
    /// What is tried, and what not.
    pub rollouts: Rollouts,
    /// What was answered before, where that is kept.
    pub cache: Option<Arc<ResponseCache>>,
    /// The turns of the reactors.
    pub turns: Turns,
    /// Cores of the process, each with a reactor.
    pub cores: usize,
}

/// What the task hears of.
enum Event {
    Heard(Heard),
    Loaded(Report),
    /// A model of this name.
    Refresh(String),
    /// Models that the configured registry calls so.
    RefreshRegistered(String),
}

/// Tells the reconciler that a model has changed in the registry.
#[derive(Clone)]
pub struct Refresh(mpsc::UnboundedSender<Event>);

impl Refresh {
    /// Asks the registry now, and tries again what failed.
    pub fn model(&self, name: &str) {
        // Nobody listens any more at shutdown.
        let _ = self.0.send(Event::Refresh(name.to_owned()));
    }

    /// The same for what the configured registry calls `name`.
    pub fn registered(&self, name: &str) {
        // Nobody listens any more at shutdown.
        let _ = self.0.send(Event::RefreshRegistered(name.to_owned()));
    }
}

/// The task's state.
pub struct Reconciler {
    config: Arc<Config>,
    tools: Arc<Tools>,
    catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    models: BTreeMap<String, ModelState>,
    registry: RegistryReport,
    /// The last error of each registry that is a folder of one model.
    folder_errors: HashMap<usize, String>,
    slots: Slots,
    nudges: Vec<Arc<Notify>>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    /// Versions that were replaced and may still be running requests.
    retired: Vec<Arc<ModelVersion>>,
    first: bool,
}

impl Reconciler {
    /// A reconciler that has done nothing yet.
    #[must_use]
    pub fn new(config: Arc<Config>, tools: Tools, catalog: Arc<Catalog>, lifecycle: Arc<Lifecycle>) -> Self {
        let slots = Slots::new(tools.cores);
        let configured = |model: &Model| (model.name.clone(), follow(&tools, model.clone(), model.required));
        let models = config.models.iter().map(configured).collect();
        let nudges = tools.registries.feeds().iter().map(|_| Arc::default()).collect();
        Self {
            config,
            tools: Arc::new(tools),
            catalog,
            lifecycle,
            models,
            registry: RegistryReport::default(),
            folder_errors: HashMap::new(),
            slots,
            nudges,
            events: mpsc::unbounded_channel(),
            retired: Vec::new(),
            first: true,
        }
    }

    /// Whoever hears of changes before the next poll does.
    #[must_use]
    pub fn refresh(&self) -> Refresh {
        Refresh(self.events.0.clone())
    }

    /// Follows the registries until shutdown.
    pub async fn run(mut self) {
        let stopping = self.lifecycle.stopping().clone();
        for (feed, nudge) in self.nudges.iter().enumerate() {
            let poller = Poller {
                feed,
                registry: self.tools.registries.get(feed).registry.clone(),
                poll: self.config.registry.poll,
                nudge: nudge.clone(),
                events: self.events.0.clone(),
            };
            self.lifecycle.spawn(poller.run(stopping.clone()));
        }
        // Requests end by themselves, failures are tried again: both only show when somebody looks.
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = tick.tick() => {}
                () = self.tools.rollouts.wishes_changed() => {}
                Some(event) = self.events.1.recv() => match event {
                    Event::Heard(heard) => self.hear(heard),
                    Event::Loaded(report) => self.finish(report),
                    Event::Refresh(model) => self.refresh_model(&model),
                    Event::RefreshRegistered(name) => self.refresh_registered(&name),
                },
            }
            self.advance();
            self.retire();
        }
    }

    fn hear(&mut self, heard: Heard) {
        let Heard { feed, asked, result, recalled } = heard;
        if feed > 0 {
            return self.hear_folder(feed, asked, result.map_err(|error| error.0));
        }
        metrics::set_registry_up(result.is_ok());
        match result {
            Ok(listing) => {
                self.registry = RegistryReport { last_success: Some(SystemTime::now()), error: None, recalled: None };
                self.observe(&listing, Some(asked));
            }
            Err(error) => {
                if self.registry.error.as_ref() != Some(&error.0) {
                    tracing::error!(error = error.0, "the registry cannot be read; what is loaded goes on serving");
                }
                self.registry.error = Some(error.0);
                if let Some(recalled) = recalled {
                    let as_of = humantime::format_rfc3339_seconds(recalled.as_of);
                    tracing::warn!(%as_of, "serving from the cache what the registry listed then");
                    self.registry.recalled = Some(recalled.as_of);
                    self.observe(&recalled.listing, None);
                }
            }
        }
    }

    fn hear_folder(&mut self, feed: usize, asked: Instant, result: Result<Listing, String>) {
        match result {
            Ok(listing) => {
                self.folder_errors.remove(&feed);
                for state in self.models.values_mut() {
                    if let (of, name) = self.tools.registries.of(&state.settings)
                        && of == feed
                    {
                        state.observe(listing.get(name).cloned(), Some(asked));
                    }
                }
            }
            Err(error) => {
                if self.folder_errors.get(&feed) != Some(&error) {
                    tracing::error!(error, "a model's folder cannot be read; what is loaded goes on serving");
                }
                for state in self.models.values_mut() {
                    if self.tools.registries.of(&state.settings).0 == feed {
                        state.observe_error(error.clone());
                    }
                }
                self.folder_errors.insert(feed, error);
            }
        }
    }

    /// Takes over what the configured registry lists, which was asked for at `asked`.
    fn observe(&mut self, listing: &Listing, asked: Option<Instant>) {
        if self.config.models.is_empty() || self.config.registry.select.is_some() {
            let registries = &self.tools.registries;
            let known: Vec<&str> = self.models.values().map(|state| registries.of(&state.settings).1).collect();
            let new: Vec<String> = listing.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
            for name in new {
                // A model that appears later must not make a server unready that was ready without it.
                let state = follow(&self.tools, self.config.registry.model(&name), self.first);
                self.models.insert(name, state);
            }
        }
        self.first = false;
        for state in self.models.values_mut() {
            let (feed, name) = self.tools.registries.of(&state.settings);
            if feed == 0 {
                state.observe(listing.get(name).cloned(), asked);
            }
        }
    }

    fn refresh_model(&mut self, name: &str) {
        let feed = match self.models.get_mut(name) {
            Some(state) => {
                state.retry_now(Instant::now());
                self.tools.registries.of(&state.settings).0
            }
            None => 0,
        };
        self.nudges[feed].notify_one();
    }

    fn refresh_registered(&mut self, name: &str) {
        let now = Instant::now();
        let registries = &self.tools.registries;
        self.models
            .values_mut()
            .filter(|state| registries.of(&state.settings) == (0, name))
            .for_each(|state| state.retry_now(now));
        self.nudges[0].notify_one();
    }

    fn advance(&mut self) {
        let now = Instant::now();
        let mut orders = Vec::new();
        for (name, state) in &mut self.models {
            if let Some(order) = state.advance(&self.tools.rollouts.wish(name), now) {
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
            let inline = runtime.mode() == Mode::Inline;
            metrics::set_version(&served.model, served.version, runtime.sessions(), inline, runtime.queue_depth());
        }
        metrics::set_ready(snapshot.is_ready() && !self.lifecycle.is_draining());
        self.catalog.publish(snapshot);
        for (name, state) in &mut self.models {
            if let Some(seen) = state.seen() {
                self.tools.rollouts.seen(name, seen);
            }
        }
    }

    fn load(&self, name: String, order: Order) {
        let Some(state) = self.models.get(&name) else { return };
        let settings = load::settings(&state.settings, &self.config, self.tools.loader.as_ref(), self.tools.cores);
        let (feed, source) = self.tools.registries.of(&state.settings);
        let registry = self.tools.registries.get(feed).registry.clone();
        let job = load::Job { model: name, source: source.to_owned(), registry, order, settings };
        let run = load::run(job, self.tools.clone(), self.slots.clone(), self.lifecycle.clone());
        let (events, stopping) = (self.events.0.clone(), self.lifecycle.stopping().clone());
        self.lifecycle.spawn(async move {
            // A download that is cut here goes on in the next process.
            if let Some(report) = stopping.run_until_cancelled(run).await {
                // Nobody listens any more at shutdown.
                let _ = events.send(Event::Loaded(report));
            }
        });
    }

    fn finish(&mut self, report: Report) {
        let Some(state) = self.models.get_mut(&report.model) else { return };
        if !matches!(&report.result, Err(failed) if failed.rests) {
            write_back(&self.tools, state, &report);
        }
        state.finish(report.track, report.key, report.result, Instant::now());
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

/// A model, and its rollouts, are followed from here on.
fn follow(tools: &Tools, settings: Model, required: bool) -> ModelState {
    let (feed, source) = tools.registries.of(&settings);
    let route = tools.rollouts.follow(&settings, source, tools.registries.get(feed));
    let cache = tools.cache.clone().filter(|_| settings.cache);
    ModelState::new(settings, required, route, cache)
}

/// Tells the registry how a load ended. Where versions never change, the first load that succeeds fixes the digest: no
/// replica will ever serve other files under this number.
fn write_back(tools: &Tools, state: &ModelState, report: &Report) {
    let (feed, source) = tools.registries.of(&state.settings);
    let version = report.key.version;
    let Some(listed) = state.tags(version).filter(|_| tools.registries.get(feed).tagged) else { return };
    let known = |key: &str| tools.writes.last(feed, source, version, key).or_else(|| listed.get(key).cloned());
    let set = |key: &str, value: &str| {
        if known(key).unwrap_or_default() != value {
            tools.writes.set_tag(feed, source, version, key, value);
        }
    };
    match &report.result {
        Ok(loaded) => {
            set(STATE_TAG, "ready");
            set(ERROR_TAG, "");
            if tools.registries.get(feed).registry.versions_never_change() && known(DIGEST_TAG).is_none() {
                set(DIGEST_TAG, loaded.runtime.digest());
            }
        }
        Err(failed) => {
            set(STATE_TAG, "failed");
            set(ERROR_TAG, &failed.error);
        }
    }
}
