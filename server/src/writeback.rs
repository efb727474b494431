//! What is written back to the registry: tags of versions. Each is tried until the registry has taken it; whatever it
//! refuses is shown, and nothing waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use perch_models::registry::{Change, Registry};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// The first pause after a refusal; each later one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Longer values are cut: MLflow takes 5000 characters.
const MAX_VALUE: usize = 500;

/// Which tag: the registry's number, the model's name there, the version, the key.
type Place = (usize, String, u64, String);

/// What the registry has not taken yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many tags.
    pub pending: usize,
    /// Why, when it refused.
    pub error: Option<String>,
}

/// The queue of writes. Clones share it.
#[derive(Clone, Default)]
pub struct WriteBack(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<Place, String>,
    /// What was written by this process: the same is not written twice.
    written: HashMap<Place, String>,
    error: Option<String>,
}

impl WriteBack {
    /// Sets a tag of a version, unless this process has set it so already. A later value takes an earlier one's place.
    pub fn set_tag(&self, feed: usize, model: &str, version: u64, key: &str, value: &str) {
        let place = (feed, model.to_owned(), version, key.to_owned());
        let value: String = value.chars().take(MAX_VALUE).collect();
        let mut state = self.0.state.lock();
        if state.written.get(&place) == Some(&value) {
            state.pending.remove(&place);
        } else {
            state.pending.insert(place, value);
        }
        metrics::set_registry_writes_pending(state.pending.len());
        drop(state);
        self.0.changed.notify_one();
    }

    /// What this process made of a tag last, if anything: a listing may be older than that.
    #[must_use]
    pub fn last(&self, feed: usize, model: &str, version: u64, key: &str) -> Option<String> {
        let place = (feed, model.to_owned(), version, key.to_owned());
        let state = self.0.state.lock();
        state.pending.get(&place).or_else(|| state.written.get(&place)).cloned()
    }

    /// What the registry has not taken yet.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.0.state.lock();
        Report { pending: state.pending.len(), error: state.error.clone() }
    }

    /// Writes until `stopping`. `registries` are by the numbers that tags were set with.
    pub async fn run(self, registries: Vec<Arc<dyn Registry>>, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.writes(&registries)).await;
    }

    async fn writes(&self, registries: &[Arc<dyn Registry>]) {
        let mut pause = FIRST;
        loop {
            if self.write_all(registries).await {
                pause = FIRST;
                self.0.changed.notified().await;
            } else {
                tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }

    /// Tries everything once. True when nothing is left.
    async fn write_all(&self, registries: &[Arc<dyn Registry>]) -> bool {
        let pending: Vec<(Place, String)> = self.0.state.lock().pending.clone().into_iter().collect();
        let mut refusal = None;
        for (place, value) in pending {
            let (feed, model, version, key) = &place;
            let Some(registry) = registries.get(*feed) else { continue };
            let change = Change::SetTag { version: *version, key: key.clone(), value: value.clone() };
            let result = registry.write(model, &change).await;
            metrics::count_registry_write(result.is_ok());
            match result {
                Ok(()) => self.taken(place, value),
                Err(error) => refusal = Some(error.0),
            }
        }
        let mut state = self.0.state.lock();
        if let Some(error) = refusal.as_ref().filter(|error| state.error.as_ref() != Some(error)) {
            tracing::warn!(pending = state.pending.len(), error, "the registry refuses a tag; it is tried again");
        }
        state.error = refusal;
        state.pending.is_empty()
    }

    fn taken(&self, place: Place, value: String) {
        let mut state = self.0.state.lock();
        // A newer value may have come meanwhile.
        if state.pending.get(&place) == Some(&value) {
            state.pending.remove(&place);
        }
        state.written.insert(place, value);
        metrics::set_registry_writes_pending(state.pending.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::artifact::Artifact;
    use perch_models::backend::LoadError;
    use perch_models::registry::{BoxFuture, Listing, RegistryError, Wanted};

    #[derive(Default)]
    struct Scripted {
        refuse: Mutex<bool>,
        changes: Mutex<Vec<(String, Change)>>,
    }

    impl Registry for Scripted {
        fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>> {
            Box::pin(async { Ok(Listing::new()) })
        }

        fn versions_never_change(&self) -> bool {
            true
        }

        fn fetch<'f>(&'f self, _wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>> {
            Box::pin(async { Err(LoadError::Download("nothing here".into())) })
        }

        fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>> {
            Box::pin(async move {
                if *self.refuse.lock() {
                    return Err(RegistryError("403".into()));
                }
                self.changes.lock().push((model.to_owned(), change.clone()));
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn refused_writes_stay_and_are_shown_until_they_are_taken() {
        let registry = Arc::new(Scripted::default());
        let registries: Vec<Arc<dyn Registry>> = vec![registry.clone()];
        let writes = WriteBack::default();
        *registry.refuse.lock() = true;
        writes.set_tag(0, "m", 1, "perch.state", "failed");
        writes.set_tag(0, "m", 1, "perch.state", "ready");
        writes.set_tag(0, "m", 1, "perch.error", &"x".repeat(10_000));
        assert!(!writes.write_all(&registries).await);
        assert_eq!(writes.report(), Report { pending: 2, error: Some("403".into()) });
        assert_eq!(writes.last(0, "m", 1, "perch.state").as_deref(), Some("ready"));
        assert_eq!(writes.last(0, "m", 2, "perch.state"), None);
        *registry.refuse.lock() = false;
        assert!(writes.write_all(&registries).await);
        assert_eq!(writes.report(), Report::default());
        let taken = |key: &str, value: &str| {
            ("m".to_owned(), Change::SetTag { version: 1, key: key.into(), value: value.into() })
        };
        let expected = [taken("perch.error", &"x".repeat(MAX_VALUE)), taken("perch.state", "ready")];
        assert_eq!(*registry.changes.lock(), expected);
        writes.set_tag(0, "m", 1, "perch.state", "ready");
        assert_eq!(writes.report().pending, 0, "the same is not written twice");
    }
}
