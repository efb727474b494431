//! The task that owns all rollouts: events in, states stored, effects out.

mod begin;
mod commit;
mod facts;
mod hear;
mod share;
mod tick;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use perch_router::rollout::State;
use perch_store::{SqliteStore, Store, StoreError};
use tokio::sync::mpsc;

use super::audit_log::AuditLog;
use super::clock::StateClock;
use super::fleet::{Fleet, Keep};
use super::handle::{Event, Rollouts};
use super::live::Trip;
use super::model::ModelRollout;
use super::notify::Receivers;
use super::outbox::{Outbox, Wake};
use super::patience::within;
use super::registry_writes::RegistryWrites;
use super::wish::Wish;
use crate::catalog::Catalog;
use crate::config::StateUrl;
use crate::lifecycle::Lifecycle;

pub(super) use begin::Start;
pub(super) use share::is_ready;

/// Clocks are looked at so often, and what requests have counted.
const TICK: Duration = Duration::from_millis(250);
/// Evidence is written, and views are drawn anew, each so many ticks.
const FLUSH: u64 = 4;
/// A store that takes longer is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the driver and its models work with.
pub(super) struct Tools {
    pub(super) rollouts: Rollouts,
    pub(super) catalog: Arc<Catalog>,
    pub(super) clock: StateClock,
    /// When a request ends, whatever happens.
    pub(super) timeout: Duration,
    /// Slots to count in.
    pub(super) slots: usize,
    pub(super) trips: mpsc::UnboundedSender<Trip>,
    /// The other replicas, once the store that they share is open.
    pub(super) fleet: OnceLock<Arc<Fleet>>,
}

impl Tools {
    /// The other replicas, where there are any.
    pub(super) fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.get()
    }
}

/// The task's state.
pub struct Driver {
    tools: Arc<Tools>,
    lifecycle: Arc<Lifecycle>,
    events: mpsc::UnboundedReceiver<Event>,
    trips: mpsc::UnboundedReceiver<Trip>,
    /// Where states are stored: tried again until it opens.
    place: StateUrl,
    /// What this replica is called.
    replica: String,
    /// What is remembered without the store.
    keep: Option<Arc<Keep>>,
    store: Option<Arc<dyn Store>>,
    /// States that were stored when the store was opened, of models that nobody has named yet.
    known: BTreeMap<String, State>,
    models: BTreeMap<String, ModelRollout>,
    /// Wakes whoever sends messages, once there is a store.
    outbox: Option<Wake>,
    registry: Arc<RegistryWrites>,
    receivers: Arc<Receivers>,
    audit: AuditLog,
    /// Tells this process's evidence from that of others.
    boot: String,
}

/// What a driver is made of.
pub struct Parts {
    /// The state file, or the database that replicas share.
    pub place: StateUrl,
    /// What this replica is called, for people.
    pub replica: String,
    /// Where artifacts are kept; empty where they are not.
    pub cache: PathBuf,
    /// A file of JSON lines for transitions.
    pub audit_log: Option<PathBuf>,
    /// What is loaded.
    pub catalog: Arc<Catalog>,
    /// Knows about shutdown.
    pub lifecycle: Arc<Lifecycle>,
    /// When a request ends, whatever happens.
    pub timeout: Duration,
    /// Slots to count in: one for each reactor, and one for all other threads.
    pub slots: usize,
    /// Changes registries.
    pub registry: RegistryWrites,
    /// Tells people and programs.
    pub receivers: Receivers,
}

impl Driver {
    /// A driver that has done nothing yet, and the handle of its rollouts.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Rollouts) {
        let (sender, events) = mpsc::unbounded_channel();
        let (trips, tripped) = mpsc::unbounded_channel();
        let rollouts = Rollouts::new(sender);
        let Parts { place, replica, cache, audit_log, catalog, lifecycle, timeout, slots, registry, receivers } = parts;
        let (clock, fleet) = (StateClock::default(), OnceLock::new());
        let tools = Arc::new(Tools { rollouts: rollouts.clone(), catalog, clock, timeout, slots, trips, fleet });
        let keep = match &place {
            StateUrl::Sqlite(_) => None,
            StateUrl::Postgres(place) => Keep::new(&cache, &place.to_string()).map(Arc::new),
        };
        let driver = Self {
            tools,
            lifecycle,
            events,
            trips: tripped,
            place,
            replica,
            keep,
            store: None,
            known: BTreeMap::new(),
            models: BTreeMap::new(),
            outbox: None,
            registry: Arc::new(registry),
            receivers: Arc::new(receivers),
            audit: AuditLog::new(audit_log),
            boot: format!("{:016x}", fastrand::u64(..)),
        };
        (driver, rollouts)
    }

    /// Opens the store, once; where that fails, it is tried again while the driver runs.
    pub async fn open(&mut self) {
        // First: whoever waits for a store that is away does not wait for ever.
        self.remember();
        match self.try_open().await {
            Ok(()) => {}
            Err(error) => {
                // It is tried again every second, and said once.
                if self.tools.rollouts.store_error().as_ref() != Some(&error.message) {
                    tracing::error!(
                        error = error.message,
                        "rollouts cannot be stored: stable serves, and no canary gets requests until they can"
                    );
                }
                self.tools.rollouts.set_store(Err(error.message));
            }
        }
    }

    async fn try_open(&mut self) -> Result<(), StoreError> {
        let (store, fleet): (Arc<dyn Store>, Option<Arc<Fleet>>) = match &self.place {
            StateUrl::Sqlite(path) => (Arc::new(SqliteStore::open(path).await?), None),
            StateUrl::Postgres(place) => {
                let (clock, rollouts) = (&self.tools.clock, &self.tools.rollouts);
                let fleet = Fleet::open(place, clock, rollouts, &self.replica).await?;
                (fleet.store(), Some(fleet))
            }
        };
        self.known = store.states().await?;
        // Nothing below waits: it happens as a whole, and once.
        if let Some(fleet) = fleet {
            self.models.keys().for_each(|name| fleet.follow(name));
            self.known.iter().for_each(|(name, state)| fleet.knows(name, state.generation));
            let fleet = self.tools.fleet.get_or_init(|| fleet);
            self.lifecycle.spawn(fleet.clone().run(self.lifecycle.stopping().clone()));
        }
        // A file has one process: what an earlier one was sending is this one's now.
        let holder = self.tools.fleet().map_or_else(String::new, |fleet| fleet.boot().to_owned());
        // Before anything is loaded: what rests is not, and what is held is.
        self.wish();
        self.tools.rollouts.set_store(Ok(store.clone()));
        let clock = self.tools.clock.clone();
        let outbox = Outbox::new(store.clone(), clock, holder, self.registry.clone(), self.receivers.clone());
        self.outbox = Some(outbox.waker());
        self.lifecycle.spawn(outbox.run(self.lifecycle.stopping().clone()));
        self.store = Some(store);
        self.keep();
        Ok(())
    }

    /// Lets be loaded what the known states say.
    fn wish(&self) {
        let now = self.tools.clock.now();
        for (name, state) in &self.known {
            self.tools.rollouts.set_wish(name, Wish::of(state, now));
        }
    }

    /// There may be messages to send.
    fn wake(&self) {
        if let Some(outbox) = &self.outbox {
            outbox.wake();
        }
    }

    /// Drives until shutdown.
    pub async fn run(mut self) {
        let stopping = self.lifecycle.stopping().clone();
        stopping.run_until_cancelled(Box::pin(self.drive())).await;
        self.flush().await;
    }

    async fn drive(&mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = 0;
        loop {
            tokio::select! {
                biased;
                Some(trip) = self.trips.recv() => self.tripped(trip).await,
                Some(event) = self.events.recv() => self.hear(event).await,
                _ = tick.tick() => {
                    ticks += 1;
                    self.tick(ticks % FLUSH == 0).await;
                }
            }
        }
    }
}

/// A call of the store, for as long as it is not away.
async fn patiently<T>(calling: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within(PATIENCE, calling).await
}
