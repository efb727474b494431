//! Hears of changes as others make them, where the store lets it, and counts what did not come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Fleet;
use crate::metrics::rollouts as metrics;

/// Until it is tried again to listen.
const PAUSE: Duration = Duration::from_secs(5);
/// A notification that takes longer is lost.
const LATE: Duration = Duration::from_secs(2);

/// What was told.
#[derive(Default)]
pub(super) struct Heard {
    listening: AtomicBool,
    /// The last generation that was told, by model.
    told: Mutex<BTreeMap<String, u64>>,
    /// Found by looking, and not told yet.
    found: Mutex<Vec<(String, u64, Instant)>>,
}

impl Heard {
    /// A generation was found by looking: it is to be told as well.
    pub(super) fn found(&self, model: &str, generation: u64) {
        let mut found = self.found.lock();
        let is_known = |(of, at, _): &(String, u64, Instant)| of == model && *at == generation;
        if self.listening.load(Relaxed) && !found.iter().any(is_known) {
            found.push((model.to_owned(), generation, Instant::now()));
        }
    }

    /// Counts what was not told in time.
    pub(super) fn count_lost(&self) {
        let told = self.told.lock();
        self.found.lock().retain(|(model, generation, since)| {
            let was_told = told.get(model).is_some_and(|last| last >= generation);
            let is_late = since.elapsed() > LATE;
            if !was_told && is_late {
                metrics::count_lost_notification();
                tracing::warn!(model, generation, "a change of a rollout was not told, and found by looking");
            }
            !was_told && !is_late
        });
    }
}

impl Fleet {
    /// Listens until the end.
    pub(super) async fn listen(self: Arc<Self>, stopping: CancellationToken) {
        let mut said = String::new();
        let listening = async {
            loop {
                match self.store.listen().await {
                    Ok(mut listener) => {
                        said.clear();
                        self.heard.listening.store(true, Relaxed);
                        loop {
                            match listener.next().await {
                                Ok(Some((model, generation))) => _ = self.heard.told.lock().insert(model, generation),
                                // What was said meanwhile is found by looking.
                                Ok(None) => {}
                                Err(_) => break,
                            }
                            self.wake.notify_one();
                        }
                        self.heard.listening.store(false, Relaxed);
                    }
                    // That the store is away is said by who writes to it.
                    Err(error) if !self.is_away() && error.message != said => {
                        tracing::warn!(
                            error = error.message,
                            "nobody tells of changes by other replicas: they are looked for"
                        );
                        said = error.message;
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        stopping.run_until_cancelled(listening).await;
    }
}
