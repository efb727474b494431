//! Where the process is in its life, and the only place that spawns tasks.
//!
//! Serving → draining (unready at once, still accepting, every answer closes its connection) → stopping (no new
//! connections, idle ones close) → the end, when everything spawned here is done or the bound has passed.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by everything that must know about shutdown.
#[derive(Debug, Default)]
pub struct Lifecycle {
    draining: AtomicBool,
    stopped: AtomicBool,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// True from the first signal on: unready, and every answer closes its connection.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Cancelled when no more connections are taken.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Whether that has happened: without the token's lock, for whoever looks after each request.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Spawns on the current runtime; shutdown waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Runs what blocks on a thread of its own; shutdown waits for it.
    pub fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn_blocking(work)
    }

    /// The tracker itself, for crates below this one.
    #[must_use]
    pub fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Drains for `delay`, stops, and waits for all tasks. False when they outlast `timeout`.
    pub async fn shut_down(&self, delay: Duration, timeout: Duration) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        // First: whom the token wakes looks here.
        self.stopped.store(true, Ordering::Release);
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(timeout, self.tasks.wait()).await.is_ok()
    }
}

/// Waits for SIGTERM or SIGINT and says which it was.
///
/// # Errors
/// When the system lets no handler be installed.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
