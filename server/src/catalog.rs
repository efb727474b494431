//! What is loaded at this moment, as one snapshot: no request sees a mix of two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use perch_models::fingerprint::Fingerprint;
use perch_models::json::write_string;
use perch_models::run::Answer;
use perch_models::version::ModelVersion;
use perch_router::track::Track;

use crate::cache::ResponseCache;
use crate::error::{ApiError, Kind};
use crate::http::response::{JSON, SERVED_HEADERS};
use crate::metrics::{CacheMetrics, ExecutionMetrics, RequestMetrics};
use crate::reconcile::Download;
use crate::rollouts::Route;

/// A version that serves a track, with everything that its answers carry made beforehand.
pub struct Served {
    /// The model's name.
    pub model: String,
    /// The version's number.
    pub version: u64,
    /// The track.
    pub track: Track,
    /// When it began to serve it.
    pub since: SystemTime,
    /// Runs requests.
    pub runtime: Arc<ModelVersion>,
    /// Counts requests.
    pub requests: Arc<RequestMetrics>,
    /// Counts executions.
    pub executions: Arc<ExecutionMetrics>,
    /// Where its answers are kept, if they are.
    pub cache: Option<Kept>,
    /// The headers that all its answers have: `content-type`, `x-perch-model`, `-version`, `-track`.
    pub headers: HeaderMap,
    /// The answer's start: `{"model":…,"version":…,"track":…,`.
    pub preamble: Vec<u8>,
}

/// The answers of a version that are kept.
pub struct Kept {
    cache: Arc<ResponseCache>,
    metrics: CacheMetrics,
}

impl Kept {
    /// What was answered to this input, counted as a hit or a miss.
    #[must_use]
    pub fn get(&self, input: &Fingerprint) -> Option<Answer> {
        let found = self.cache.get(input);
        self.metrics.count(found.is_some());
        found
    }

    /// Keeps an answer.
    pub fn put(&self, input: Fingerprint, answer: &Answer) {
        self.cache.put(input, answer);
    }
}

impl Served {
    /// A version under a track.
    #[must_use]
    pub fn new(
        (model, version, track): (&str, u64, Track),
        runtime: Arc<ModelVersion>,
        executions: Arc<ExecutionMetrics>,
        cache: Option<Arc<ResponseCache>>,
    ) -> Self {
        let number = version.to_string();
        executions.set_track(track);
        let mut preamble = Vec::new();
        for (key, value) in [("{\"model\":", model), (",\"version\":", &number), (",\"track\":", track.name())] {
            preamble.extend_from_slice(key.as_bytes());
            write_string(&mut preamble, value);
        }
        preamble.push(b',');
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, JSON);
        for (name, value) in SERVED_HEADERS.into_iter().zip([model, &number, track.name()]) {
            headers.insert(name, header(value));
        }
        Self {
            model: model.to_owned(),
            version,
            track,
            since: SystemTime::now(),
            runtime,
            requests: Arc::new(RequestMetrics::new(model, &number, track.name())),
            executions,
            cache: cache.map(|cache| Kept { cache, metrics: CacheMetrics::new(model, &number, track.name()) }),
            headers,
            preamble,
        }
    }
}

/// What is known of one version, for /health/all.
#[derive(Clone)]
pub struct VersionReport {
    /// Its number.
    pub version: u64,
    /// The track that it serves or is meant for.
    pub track: Track,
    /// Its digest, once its files were read.
    pub digest: Option<String>,
    /// `loading`, `ready` or `failed`.
    pub state: &'static str,
    /// Why it is not ready, or what is wrong in spite of it.
    pub error: Option<String>,
    /// Its download, while it is loading.
    pub download: Option<Arc<Download>>,
}

/// One model.
#[derive(Default)]
pub struct ModelEntry {
    /// Whether readiness waits for it.
    pub required: bool,
    /// What serves.
    pub stable: Option<Arc<Served>>,
    /// What is tried.
    pub canary: Option<Arc<Served>>,
    /// Whether the two take and give the same.
    pub same_signature: bool,
    /// Where its requests are divided, where anything follows its rollouts.
    pub route: Option<Arc<Route>>,
    /// Every version that matters at present.
    pub versions: Vec<VersionReport>,
    /// What is wrong with the model's entry in the registry.
    pub error: Option<String>,
}

/// The registry as it was last read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryReport {
    /// When it was last read without an error.
    pub last_success: Option<SystemTime>,
    /// The last error, when it was later.
    pub error: Option<String>,
    /// When an earlier process heard what is followed now: this one has not reached the registry yet.
    pub recalled: Option<SystemTime>,
}

/// Everything at one moment.
#[derive(Default)]
pub struct Snapshot {
    /// Models by name.
    pub models: BTreeMap<String, ModelEntry>,
    /// The registry.
    pub registry: RegistryReport,
}

impl Snapshot {
    /// The version that answers requests for `model`; without a name, the only model there is.
    ///
    /// # Errors
    /// 404 for a model that is not known, 400 when a name is needed, 503 when it has nothing loaded.
    pub fn stable(&self, model: Option<&str>) -> Result<&Arc<Served>, ApiError> {
        self.entry(model).map(|(_, stable)| stable)
    }

    /// The model of that name, or the only one, and the version that answers for it.
    ///
    /// # Errors
    /// As [`Snapshot::stable`].
    pub fn entry(&self, model: Option<&str>) -> Result<(&ModelEntry, &Arc<Served>), ApiError> {
        let (name, entry) = match model {
            Some(name) => self.models.get_key_value(name).ok_or_else(|| self.unknown(name))?,
            None if self.models.len() > 1 => {
                let message = format!("model: several are served, name one of {}", self.names());
                return Err(ApiError::new(Kind::InvalidInput, message));
            }
            None => {
                let none = || ApiError::new(Kind::NotReady, "no model is loaded");
                self.models.first_key_value().ok_or_else(none)?
            }
        };
        let stable = entry.stable.as_ref().ok_or_else(|| {
            let why = entry.versions.iter().find_map(|version| version.error.as_deref()).or(entry.error.as_deref());
            let because = why.map(|why| format!(": {why}")).unwrap_or_default();
            ApiError::new(Kind::NotReady, format!("model \"{name}\" has no version loaded{because}"))
        });
        stable.map(|stable| (entry, stable))
    }

    fn unknown(&self, name: &str) -> ApiError {
        let name: String = name.chars().take(64).collect();
        let message = if self.models.is_empty() {
            format!("no model \"{name}\": none is registered")
        } else {
            format!("no model \"{name}\", expected one of {}", self.names())
        };
        ApiError::new(Kind::ModelNotFound, message)
    }

    fn names(&self) -> String {
        self.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// True when every required model has a version loaded. A server without any model is never ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.models.values().any(|model| model.stable.is_some())
            && self.models.values().filter(|model| model.required).all(|model| model.stable.is_some())
    }
}

/// The snapshot in force.
#[derive(Default)]
pub struct Catalog {
    current: ArcSwap<Snapshot>,
}

impl Catalog {
    /// The snapshot in force, without a lock.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot in force, to be kept for a while.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another one into force.
    pub fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }
}
