//! Takes messages from the store to those who are to be told: each at least once, those of a group in their order.
//!
//! A message is in the store before anything is sent, and stays there until its receiver has it; whoever reads the
//! same key twice has read the same message twice. Queues and groups do not wait for each other.

mod pace;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use perch_store::{BoxFuture, Claim, Pending, Queue, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clock::StateClock;
use super::patience::within;
use crate::metrics::rollouts as metrics;
use pace::Pace;

/// Messages of one queue that are sent at the same time.
const PARALLEL: u32 = 8;
/// A store that takes longer is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Sent,
    /// It may arrive later.
    Later {
        /// What went wrong.
        error: String,
        /// How long the receiver wants to be left alone.
        after: Option<Duration>,
    },
    /// It will never arrive, for this reason.
    Hopeless(String),
}

/// Takes messages of one queue to where they belong.
pub trait Courier: Send + Sync {
    /// Tries once. It may be dropped while it waits. Errors are shown to people: no secrets in them.
    fn deliver<'a>(&'a self, pending: &'a Pending) -> BoxFuture<'a, Outcome>;
}

/// Tells the outbox that there is something new. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<[Notify; 2]>);

impl Wake {
    /// There is something new.
    pub fn wake(&self) {
        self.0.iter().for_each(Notify::notify_one);
    }
}

const fn place(queue: Queue) -> usize {
    match queue {
        Queue::Registry => 0,
        Queue::Notify => 1,
    }
}

/// The task that empties the store's queues.
pub struct Outbox {
    store: Arc<dyn Store>,
    clock: StateClock,
    /// Whose messages are its own while it sends them.
    holder: String,
    registry: Arc<dyn Courier>,
    notify: Arc<dyn Courier>,
    wake: Wake,
    pace: Pace,
    /// Whether the store's last answer about a queue was an error: that is said once.
    store_failing: [AtomicBool; 2],
}

impl Outbox {
    /// From this store, by these couriers. Of several processes that share a store each has a name as `holder`, and a
    /// message goes by one of them at a time.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: StateClock,
        holder: String,
        registry: Arc<dyn Courier>,
        notify: Arc<dyn Courier>,
    ) -> Self {
        let (wake, pace) = (Wake::default(), Pace::default());
        Self { store, clock, holder, registry, notify, wake, pace, store_failing: Default::default() }
    }

    /// Wakes it; whoever stores a message should do so.
    #[must_use]
    pub fn waker(&self) -> Wake {
        self.wake.clone()
    }

    /// Sends until `stopping`, and lets attempts that were begun end, for a moment.
    pub async fn run(self, stopping: CancellationToken) {
        let [registry, notify] = Queue::ALL.map(|queue| self.empty(queue, &stopping));
        tokio::join!(registry, notify);
    }

    async fn empty(&self, queue: Queue, stopping: &CancellationToken) {
        let mut flying = FuturesUnordered::new();
        // The store does not know what is on its way.
        let mut busy = HashSet::new();
        while !stopping.is_cancelled() {
            // What is on its way goes on meanwhile: it may have the connection that the look waits for. What ends by
            // then may still be listed.
            let mut ended = Vec::new();
            let mut look = pin!(self.look(queue));
            let due = loop {
                tokio::select! {
                    due = &mut look => break due,
                    () = stopping.cancelled() => break Vec::new(),
                    Some(id) = flying.next(), if !flying.is_empty() => ended.push(id),
                }
            };
            for pending in due {
                if busy.len() < PARALLEL as usize && busy.insert(pending.id) {
                    flying.push(self.handle(queue, pending));
                }
            }
            busy.retain(|id| !ended.contains(id));
            if !ended.is_empty() {
                continue;
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                Some(id) = flying.next(), if !flying.is_empty() => { busy.remove(&id); }
                () = self.wake.0[place(queue)].notified() => {}
                () = tokio::time::sleep(self.pace.look) => {}
            }
        }
        let rest = async { while flying.next().await.is_some() {} };
        // Whatever does not end by then is sent again after the next start, with the same key.
        let _ = tokio::time::timeout(self.pace.farewell, rest).await;
    }

    /// What is due, as far as there is room for it.
    async fn look(&self, queue: Queue) -> Vec<Pending> {
        let now = self.clock.now();
        // What is on its way is claimed anew with each look.
        let claim = Claim { holder: self.holder.clone(), now, until: now + self.pace.claim.as_secs_f64() };
        let due = self.listen(queue, within(PATIENCE, self.store.claim(queue, &claim, 2 * PARALLEL)).await);
        if let Some(backlog) = self.listen(queue, within(PATIENCE, self.store.backlog(queue)).await) {
            metrics::set_outbox_pending(queue.name(), backlog.pending);
        }
        due.unwrap_or_default()
    }

    /// One attempt, and its result in the store.
    async fn handle(&self, queue: Queue, pending: Pending) -> i64 {
        let courier = match queue {
            Queue::Registry => &self.registry,
            Queue::Notify => &self.notify,
        };
        let patience = self.pace.patience(queue);
        let outcome = tokio::time::timeout(patience, courier.deliver(&pending))
            .await
            .unwrap_or_else(|_| Outcome::Later { error: format!("no answer in {patience:?}"), after: None });
        let result = self.decide(queue, &pending, outcome);
        result.tell(queue, &pending);
        // Until the store knows it, the message is not taken up again.
        while self.listen(queue, self.remember(pending.id, &result).await).is_none() {
            tokio::time::sleep(self.pace.look).await;
        }
        pending.id
    }

    fn decide(&self, queue: Queue, pending: &Pending, outcome: Outcome) -> Settled {
        let now = self.clock.now();
        match outcome {
            Outcome::Sent => Settled::Sent,
            Outcome::Hopeless(error) => Settled::GivenUp(error),
            // A notice of yesterday helps nobody; an alias has to move whenever it can.
            Outcome::Later { error, .. }
                if queue == Queue::Notify && now - pending.since > self.pace.longest_notice =>
            {
                Settled::GivenUp(format!("too old after {} attempts: {error}", pending.attempts + 1))
            }
            Outcome::Later { error, after } => {
                Settled::PutOff(error, now + self.pace.pause(pending.attempts, after).as_secs_f64())
            }
        }
    }

    async fn remember(&self, id: i64, result: &Settled) -> Result<(), StoreError> {
        match result {
            Settled::Sent => within(PATIENCE, self.store.sent(id)).await,
            Settled::PutOff(error, until) => within(PATIENCE, self.store.put_off(id, error, *until)).await,
            Settled::GivenUp(error) => within(PATIENCE, self.store.give_up(id, error)).await,
        }
    }

    /// What the store answered, if it did. The first failure is logged, and the first answer after it.
    fn listen<T>(&self, queue: Queue, answer: Result<T, StoreError>) -> Option<T> {
        let failing = &self.store_failing[place(queue)];
        match answer {
            Ok(answer) => {
                if failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(queue = queue.name(), "the store answers again; messages go on");
                }
                Some(answer)
            }
            Err(error) => {
                if !failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(queue = queue.name(), %error, "messages wait for the store");
                }
                None
            }
        }
    }
}

/// What becomes of a message.
enum Settled {
    Sent,
    /// The error, and until when.
    PutOff(String, f64),
    GivenUp(String),
}

impl Settled {
    fn tell(&self, queue: Queue, pending: &Pending) {
        let (queue, key) = (queue.name(), pending.message.key.as_str());
        let result = match self {
            Self::Sent => {
                tracing::debug!(queue, key, "sent");
                "sent"
            }
            Self::PutOff(error, _) => {
                if pending.attempts == 0 {
                    tracing::warn!(queue, key, error, "a message did not arrive; it is tried again");
                } else {
                    tracing::debug!(queue, key, error, attempts = pending.attempts + 1, "a message did not arrive");
                }
                "put_off"
            }
            Self::GivenUp(error) => {
                tracing::warn!(queue, key, error, "a message is given up");
                "given_up"
            }
        };
        metrics::count_outbox_attempt(queue, result);
    }
}
