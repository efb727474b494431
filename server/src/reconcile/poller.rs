//! Asks one registry what it lists, on time and when somebody says that it has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perch_models::registry::{Listing, Recalled, Registry, RegistryError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::Event;

/// A registry that is away is asked again after this long at first, and then twice as long each time, up to the poll.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// What a registry said.
pub(super) struct Heard {
    /// Which registry.
    pub(super) feed: usize,
    /// When it was asked.
    pub(super) asked: Instant,
    /// What it lists.
    pub(super) result: Result<Listing, RegistryError>,
    /// What an earlier process heard from it, where this one never has.
    pub(super) recalled: Option<Recalled>,
}

/// One registry's poller.
pub(super) struct Poller {
    pub(super) feed: usize,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) poll: Duration,
    /// Somebody says that it has changed.
    pub(super) nudge: Arc<Notify>,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Poller {
    /// Polls until `stopping`.
    pub(super) async fn run(self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.polls()).await;
    }

    async fn polls(self) {
        let (mut ever, mut failures) = (false, 0);
        loop {
            let asked = Instant::now();
            let result = self.registry.list().await;
            let recalled = if ever || result.is_ok() || failures > 0 { None } else { self.registry.recall().await };
            failures = if result.is_ok() { 0 } else { failures + 1 };
            ever |= result.is_ok();
            if self.events.send(Event::Heard(Heard { feed: self.feed, asked, result, recalled })).is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause(self.poll, failures)) => {}
                () = self.nudge.notified() => self.registry.forget().await,
            }
        }
    }
}

/// Replicas that were started together shall not ask together for ever.
fn pause(poll: Duration, failures: u32) -> Duration {
    let pause = match failures {
        0 => poll,
        failures => poll.min(FIRST_RETRY * (1 << (failures - 1).min(16))),
    };
    pause.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_away_is_asked_soon_again_at_first() {
        let poll = Duration::from_secs(10);
        for (failures, expected) in [(0, 10_000), (1, 500), (2, 1000), (5, 8000), (6, 10_000), (60, 10_000)] {
            let pause = pause(poll, failures).as_secs_f64() * 1000.0;
            let expected = f64::from(expected);
            assert!((0.9 * expected..=1.1 * expected).contains(&pause), "{failures}: {pause}");
        }
    }
}
