//! The rollouts as the rest of the server sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use perch_router::rollout::{Command, State, Version};
use perch_store::{Audit, Store, StoreError};
use serde_json::Value;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::route::Route;
use super::wish::Wish;
use crate::config::Model;
use crate::registries::Feed;

/// Changes that a slow listener may be behind before it misses some.
const CHANGES: usize = 256;

/// What the driver hears of.
pub(super) enum Event {
    /// A model is served from here on.
    Follow(Box<Followed>),
    /// What its aliases mean has changed, or a load has ended.
    Seen(String, Seen),
    /// The canary of this digest has passed its smoke tests, or not.
    Smoked { model: String, digest: String, result: Result<(), String> },
    /// An operator says something.
    Command(Asked),
    /// Another replica has stored something: the states of all models.
    Stored(BTreeMap<String, State>),
}

/// A model whose rollouts are followed.
pub(super) struct Followed {
    pub(super) settings: Model,
    /// Its name in the registry.
    pub(super) source: String,
    /// Whether tags are written there.
    pub(super) tagged: bool,
    /// Whether aliases are moved there.
    pub(super) moves_aliases: bool,
}

/// A command on its way.
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) command: Command,
    /// The generation that the caller has seen.
    pub(super) expected: Option<u64>,
    pub(super) who: String,
    pub(super) reply: oneshot::Sender<Result<(), CommandError>>,
}

/// What the registry says of a model, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When the registry was asked; none where this is what an earlier process heard from it.
    pub at: Option<Instant>,
    /// Where the alias `stable` points, once its digest is known.
    pub stable: Option<Version>,
    /// Where the alias `canary` points.
    pub canary: SeenCanary,
}

/// The canary as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenCanary {
    /// There is none.
    None,
    /// There is one, and its digest is not known yet.
    Unknown,
    /// It is this, and not loaded.
    Known(Version),
    /// It is loaded and warm.
    Ready(Version),
    /// It cannot be loaded; why.
    Unfit(Version, String),
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No such model is followed.
    UnknownModel,
    /// The rollout has another generation by now.
    Stale(u64),
    /// It means nothing in this state.
    Refused(String),
    /// It could not be stored.
    Store(String),
}

/// A handle of all rollouts. Clones share it.
#[derive(Clone)]
pub struct Rollouts(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) events: mpsc::UnboundedSender<Event>,
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
    wishes: Mutex<BTreeMap<String, Wish>>,
    wishes_changed: Notify,
    views: Mutex<BTreeMap<String, Arc<Value>>>,
    changes: broadcast::Sender<String>,
    store: Mutex<Result<Arc<dyn Store>, String>>,
}

impl Rollouts {
    pub(super) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self(Arc::new(Shared {
            events,
            routes: Mutex::default(),
            wishes: Mutex::default(),
            wishes_changed: Notify::new(),
            views: Mutex::default(),
            changes: broadcast::channel(CHANGES).0,
            store: Mutex::new(Err("it is not open yet".to_owned())),
        }))
    }

    /// Follows the rollouts of a model from here on: where its requests find them.
    #[must_use]
    pub fn follow(&self, settings: &Model, source: &str, feed: &Feed) -> Arc<Route> {
        let (tagged, moves_aliases) = (feed.tagged, feed.moves_aliases);
        let followed = Followed { settings: settings.clone(), source: source.to_owned(), tagged, moves_aliases };
        // Nobody listens any more at shutdown.
        let _ = self.0.events.send(Event::Follow(Box::new(followed)));
        self.route(&settings.name)
    }

    pub(super) fn route(&self, model: &str) -> Arc<Route> {
        self.0.routes.lock().entry(model.to_owned()).or_default().clone()
    }

    /// Tells what the registry says of a model.
    pub fn seen(&self, model: &str, seen: Seen) {
        // Nobody listens any more at shutdown.
        let _ = self.0.events.send(Event::Seen(model.to_owned(), seen));
    }

    /// What a model's rollout wants to be loaded.
    #[must_use]
    pub fn wish(&self, model: &str) -> Wish {
        self.0.wishes.lock().get(model).cloned().unwrap_or_default()
    }

    /// Waits until some wish has changed.
    pub async fn wishes_changed(&self) {
        self.0.wishes_changed.notified().await;
    }

    pub(super) fn set_wish(&self, model: &str, wish: Wish) {
        let mut wishes = self.0.wishes.lock();
        let known = wishes.entry(model.to_owned()).or_default();
        if *known != wish {
            *known = wish;
            self.0.wishes_changed.notify_one();
        }
    }

    /// What a model's rollout is like, as the admin API shows it.
    #[must_use]
    pub fn view(&self, model: &str) -> Option<Arc<Value>> {
        self.0.views.lock().get(model).cloned()
    }

    /// The same for all models, by name.
    #[must_use]
    pub fn views(&self) -> Vec<Arc<Value>> {
        self.0.views.lock().values().cloned().collect()
    }

    pub(super) fn set_view(&self, model: &str, view: Value) {
        self.0.views.lock().insert(model.to_owned(), Arc::new(view));
        // Nobody may be listening.
        let _ = self.0.changes.send(model.to_owned());
    }

    /// Names of models whose view has changed.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.0.changes.subscribe()
    }

    /// Does what an operator says.
    ///
    /// # Errors
    /// See [`CommandError`]; nothing has changed then.
    pub async fn command(
        &self,
        model: &str,
        command: Command,
        expected: Option<u64>,
        who: String,
    ) -> Result<(), CommandError> {
        let (reply, done) = oneshot::channel();
        let asked = Asked { model: model.to_owned(), command, expected, who, reply };
        let ended = || CommandError::Store("the server is stopping".to_owned());
        self.0.events.send(Event::Command(asked)).map_err(|_| ended())?;
        done.await.unwrap_or_else(|_| Err(ended()))
    }

    /// What has happened to a model's rollouts, newest first, before a generation.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn history(&self, model: &str, limit: u32, before: Option<u64>) -> Result<Vec<Audit>, StoreError> {
        let store = self.0.store.lock().clone().map_err(StoreError::unavailable)?;
        store.history(model, limit, before).await
    }

    /// The state of the store: none when it is well.
    #[must_use]
    pub fn store_error(&self) -> Option<String> {
        self.0.store.lock().as_ref().err().cloned()
    }

    pub(super) fn set_store(&self, store: Result<Arc<dyn Store>, String>) {
        *self.0.store.lock() = store;
    }
}
