//! A store, and outboxes over it that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use perch_router::policy::{NotificationType, Occasion};
use perch_router::rollout::State;
use perch_router::weight::Weight;
use perch_store::{Audit, Claim, Message, Queue, SqliteStore, Store, Swap, Transition};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Receiver, Secret};
use crate::lifecycle::Lifecycle;
use crate::registries::Feed;
use crate::rollouts::clock::StateClock;
use crate::rollouts::messages::Notice;
use crate::rollouts::moment;
use crate::rollouts::notify::{Receivers, messages};
use crate::rollouts::outbox::pace::Pace;
use crate::rollouts::outbox::{Outbox, Wake};
use crate::rollouts::registry_writes::RegistryWrites;

pub struct Desk {
    folder: TempDir,
    store: Arc<SqliteStore>,
    receivers: Arc<Receivers>,
    wanted: Vec<Receiver>,
    pub feeds: Vec<Feed>,
    pub pace: Pace,
    generation: u64,
    /// When the next transitions happen.
    pub at: f64,
}

pub struct Running {
    wake: Wake,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// As at a shutdown.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap();
    }

    /// As when the process dies.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl Desk {
    /// With one webhook of the model `iris` for each of these paths.
    pub async fn new(address: SocketAddr, paths: &[&str]) -> Self {
        let receiver = |path: &&str| Receiver {
            kind: NotificationType::Webhook,
            url: Secret::new(format!("http://{address}/{path}")),
            on: Occasion::ALL.to_vec(),
        };
        let wanted: Vec<Receiver> = paths.iter().map(receiver).collect();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("state.db")).await.unwrap());
        let pace = Pace {
            look: Duration::from_millis(20),
            first: Duration::from_millis(20),
            longest: Duration::from_secs(2),
            ..Pace::default()
        };
        let (receivers, at) = (Arc::new(Receivers::new(&wanted).unwrap()), moment::now());
        Self { folder, store, receivers, wanted, feeds: Vec::new(), pace, generation: 0, at }
    }

    pub fn start(&self) -> Running {
        let registry = Arc::new(RegistryWrites::new(self.feeds.clone()));
        let mut outbox =
            Outbox::new(self.store.clone(), StateClock::default(), String::new(), registry, self.receivers.clone());
        outbox.pace = self.pace.clone();
        let (wake, stopping) = (outbox.waker(), CancellationToken::new());
        let task = Lifecycle::default().spawn(outbox.run(stopping.clone()));
        Running { wake, stopping, task }
    }

    /// A transition with a notice for each receiver. Its keys.
    pub async fn tell(&mut self) -> Vec<String> {
        let notice = Notice {
            model: "iris".into(),
            version: Some("4".into()),
            occasion: Occasion::Promoted,
            message: "version 4 is promoted".into(),
            state: "promoted".into(),
            reason: None,
            weight: Weight::FULL,
            generation: self.generation + 1,
            rollout: Some("iris/sha256:ab/2".into()),
            at: self.at,
            receiver: String::new(),
        };
        self.put(messages(&self.wanted, &notice)).await
    }

    /// A transition with these messages. Their keys.
    pub async fn put(&mut self, messages: Vec<Message>) -> Vec<String> {
        let keys = messages.iter().map(|message| message.key.clone()).collect();
        let (from, generation) = (self.generation, self.generation + 1);
        let audit = Audit {
            generation,
            at: self.at,
            who: "test".into(),
            from: "idle".into(),
            to: "idle".into(),
            what: String::new(),
            version: None,
        };
        let state = State { generation, ..State::default() };
        let transition = Transition { model: "iris".into(), from, state, audit, messages };
        assert_eq!(self.store.transition(&transition).await, Ok(Swap::Done));
        self.generation = generation;
        keys
    }

    pub async fn pending(&self, queue: Queue) -> u64 {
        self.store.backlog(queue).await.unwrap().pending
    }

    /// The notice that waits longest.
    pub async fn head(&self) -> Message {
        self.store
            .claim(Queue::Notify, &Claim { holder: String::new(), now: 1e10, until: 1e10 }, 1)
            .await
            .unwrap()
            .remove(0)
            .message
    }

    /// What the store shows of messages that were given up.
    pub async fn given_up(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        sqlx::query_scalar("SELECT error FROM outbox WHERE done IS NOT NULL AND error IS NOT NULL ORDER BY id")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    /// Changes the file behind the store's back.
    pub async fn change(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection().await).await.unwrap();
    }

    async fn connection(&self) -> SqliteConnection {
        let path = self.folder.path().join("state.db");
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }
}
