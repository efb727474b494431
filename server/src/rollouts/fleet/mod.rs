//! Several replicas that share a store: one rollout, judged by all.
//!
//! A task of its own, the [`link`], says what this replica has counted at each tick of the store's clock, hears what the
//! others have, and brings the pool on when it is this replica's turn. The driver tells it what is at work ([`Fleet::tell`])
//! and hears of states that others have stored. Requests never wait for either.

mod keep;
mod link;
mod listen;
mod note;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use perch_router::fleet::{Pool, SILENT};
use perch_router::policy::{JudgeKind, RolloutPolicy};
use perch_store::fleet::{Joining, Replica};
use perch_store::postgres::Place;
use perch_store::{PostgresStore, StoreError};
use tokio::sync::Notify;

use super::clock::StateClock;
use super::handle::Rollouts;
use super::live::{Live, Seat};

pub use keep::Keep;
pub use note::{Alone, Member, Note};

/// A store that takes longer is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// This replica's part in the fleet.
pub struct Fleet {
    store: Arc<PostgresStore>,
    clock: StateClock,
    rollouts: Rollouts,
    /// For people: where it runs.
    name: String,
    /// This process, which nobody else is.
    boot: String,
    /// It has joined so many rollouts: each time under another name.
    joins: AtomicU32,
    /// Models that this replica serves.
    models: Mutex<BTreeSet<String>>,
    work: Mutex<BTreeMap<String, Work>>,
    /// Generations that the driver has.
    known: Mutex<BTreeMap<String, u64>>,
    replicas: Mutex<Arc<Vec<Replica>>>,
    /// Whether the store did not answer the last time.
    away: AtomicBool,
    wake: Notify,
    heard: listen::Heard,
}

/// A rollout that is under way here.
#[derive(Clone)]
struct Work {
    live: Arc<Live>,
    note: Note,
    members: Arc<Vec<Member>>,
}

impl Fleet {
    /// Opens the store, learns its time, and takes part from here on, once [`Fleet::run`] runs.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open(
        place: &Place,
        clock: &StateClock,
        rollouts: &Rollouts,
        name: &str,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Arc::new(PostgresStore::open(place).await?);
        clock.set(store.clock().await?.as_secs_f64());
        crate::metrics::rollouts::begin_fleet();
        Ok(Arc::new(Self {
            store,
            clock: clock.clone(),
            rollouts: rollouts.clone(),
            name: name.to_owned(),
            boot: format!("{:016x}", fastrand::u64(..)),
            joins: AtomicU32::new(0),
            models: Mutex::default(),
            work: Mutex::default(),
            known: Mutex::default(),
            replicas: Mutex::default(),
            away: AtomicBool::new(false),
            wake: Notify::new(),
            heard: listen::Heard::default(),
        }))
    }

    /// The store that it shares.
    #[must_use]
    pub fn store(&self) -> Arc<PostgresStore> {
        self.store.clone()
    }

    /// Where this replica runs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This process.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Whether the store did not answer the last time: whoever would wait for it need not try.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Takes part in a rollout. Gives the place in it, and the policy by which all judge it.
    ///
    /// # Errors
    /// When the store is away; it can be tried again.
    pub async fn join(
        &self,
        model: &str,
        rollout: &str,
        policy: &RolloutPolicy,
    ) -> Result<(Seat, RolloutPolicy), StoreError> {
        let boot = format!("{}-{}", self.boot, self.joins.fetch_add(1, Relaxed));
        let own = note::shared(policy);
        let note = Note { replica: self.boot.clone(), ..Note::default() };
        let joining = Joining {
            model: model.to_owned(),
            rollout: rollout.to_owned(),
            boot: boot.clone(),
            pool: Pool::new(pooled(policy)),
            policy: own.clone(),
            note: note.to_value(),
        };
        let joined = link::patiently("join", self.store.join(&joining)).await?;
        let members = link::patiently("members", self.store.members(rollout)).await?;
        let others = note::others(&note::members(members), |member| member == boot);
        let other_policy = joined.policy != own;
        let theirs = serde_json::from_value(joined.policy).unwrap_or_else(|error| {
            tracing::error!(model, %error, "the rollout's policy is of another version of perch: it is judged by the own");
            policy.clone()
        });
        if other_policy {
            tracing::warn!(model, rollout, "the policy here is another than the one that the rollout was started with");
        }
        Ok((Seat { boot, number: joined.seat, pool: joined.pool, others, other_policy }, theirs))
    }

    /// This is at work here, and that is to be said of it. None: nothing.
    pub fn tell(&self, model: &str, work: Option<(&Arc<Live>, Note)>) {
        let mut all = self.work.lock();
        let Some((live, note)) = work else {
            if all.remove(model).is_some() {
                crate::metrics::rollouts::set_fleet(model, 0, 0, Duration::ZERO);
            }
            return;
        };
        match all.get_mut(model).filter(|known| Arc::ptr_eq(&known.live, live)) {
            Some(known) => known.note = note,
            None => {
                all.insert(model.to_owned(), Work { live: live.clone(), note, members: Arc::default() });
                self.wake.notify_one();
            }
        }
    }

    /// The driver has this generation of a model's state.
    pub fn knows(&self, model: &str, generation: u64) {
        self.known.lock().insert(model.to_owned(), generation);
    }

    /// This replica serves a model.
    pub fn follow(&self, model: &str) {
        self.models.lock().insert(model.to_owned());
    }

    /// What this replica says of itself.
    fn replica(&self) -> Replica {
        let models = self.models.lock().clone();
        Replica { boot: self.boot.clone(), name: self.name.clone(), models, age: Duration::ZERO }
    }

    /// Who shares the store, lives, and serves a model.
    #[must_use]
    pub fn living(&self, model: &str) -> Vec<Replica> {
        let lives = |replica: &&Replica| replica.age < GONE && replica.models.contains(model);
        self.replicas.lock().iter().filter(lives).cloned().collect()
    }

    /// Who takes part in the rollout of a model that is under way, as far as they have said.
    #[must_use]
    pub fn members(&self, model: &str) -> Arc<Vec<Member>> {
        self.work.lock().get(model).map(|work| work.members.clone()).unwrap_or_default()
    }

    /// Whether another replica that lives has not said that it cannot load the canary of a model.
    #[must_use]
    pub fn others_can(&self, model: &str) -> bool {
        let members = self.members(model);
        let cannot = |replica: &Replica| {
            members.iter().any(|member| member.note.replica == replica.boot && member.note.unfit.is_some())
        };
        self.living(model).iter().any(|replica| replica.boot != self.boot && !cannot(replica))
    }

    /// One that cannot load the canary of a model, and why.
    #[must_use]
    pub fn unfit(&self, model: &str) -> Option<(String, String)> {
        let (living, members) = (self.living(model), self.members(model));
        members.iter().find_map(|member| {
            let replica = living.iter().find(|replica| replica.boot == member.note.replica)?;
            Some((replica.name.clone(), member.note.unfit.clone()?))
        })
    }

    /// How many replicas live, and how many of them have the canary of a model loaded. This one is among the first once it
    /// was heard of, and among the others if `ready`.
    #[must_use]
    pub fn readiness(&self, model: &str, ready: bool) -> (usize, usize) {
        let (living, members) = (self.living(model), self.members(model));
        let has = |replica: &&Replica| {
            let said = |member: &&Member| member.note.replica == replica.boot && member.age < SILENT;
            members.iter().filter(said).any(|member| member.note.ready)
        };
        let others = living.iter().filter(|replica| replica.boot != self.boot);
        let ready = others.clone().filter(has).count() + usize::from(ready);
        (others.count() + 1, ready)
    }
}

/// A replica that has said nothing for so long is not waited for. It speaks each second.
const GONE: Duration = Duration::from_secs(3);

/// The metrics that a fleet judges together.
fn pooled(policy: &RolloutPolicy) -> impl Iterator<Item = &str> {
    let sequential = policy.analysis.judge == JudgeKind::Sequential;
    let metrics = policy.analysis.metrics.iter().filter(move |_| sequential);
    let has_limit =
        |metric: &&perch_router::policy::Metric| metric.rule(&metric.name).is_ok_and(|rule| rule.limit().is_some());
    metrics.filter(has_limit).map(|metric| metric.name.as_str())
}
