//! Every metric perch has: names, help texts, buckets and the handles that the hot path records through.
//!
//! The macros of the `metrics` crate look a series up by name and labels each time; clippy forbids them elsewhere. Hot
//! paths hold handles that were made here once.

#![expect(clippy::disallowed_macros, reason = "the one module that registers metrics")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use perch_models::run::{Execution, Observer, Outcome};
use perch_router::track::Track;

pub mod rollouts;
#[cfg(test)]
mod tests;

const REQUESTS: &str = "http_requests_total";
const REQUEST_SECONDS: &str = "http_request_duration_seconds";
const IN_FLIGHT: &str = "perch_requests_in_flight";
const ERRORS: &str = "perch_errors_total";
const PREDICTION_SECONDS: &str = "perch_prediction_duration_seconds";
const BATCH_ROWS: &str = "perch_batch_rows";
const EXECUTIONS: &str = "perch_executions_total";
const QUEUE_DEPTH: &str = "perch_queue_depth";
const LOAD_SECONDS: &str = "perch_model_load_duration_seconds";
const LOADS: &str = "perch_model_loads_total";
const MODEL_STATE: &str = "perch_model_state";
const MODEL_SESSIONS: &str = "perch_model_sessions";
const MODEL_INLINE: &str = "perch_model_inline";
const REGISTRY_UP: &str = "perch_registry_up";
const REGISTRY_WRITES: &str = "perch_registry_writes_total";
const REGISTRY_WRITES_PENDING: &str = "perch_registry_writes_pending";
const DOWNLOAD_BYTES: &str = "perch_artifact_download_bytes_total";
const DOWNLOAD_SECONDS: &str = "perch_artifact_download_duration_seconds";
const CACHE_LOOKUPS: &str = "perch_cache_requests_total";
const CACHE_BYTES: &str = "perch_cache_bytes";
const CACHE_ANSWERS: &str = "perch_cache_entries";
const TOKENS: &str = "perch_tokens_total";
const CONNECTIONS: &str = "perch_connections";
const READY: &str = "perch_ready";
const BUILD_INFO: &str = "perch_build_info";

/// Seconds. The quarter, half, whole and two seconds are where operators put their alerts.
const SECONDS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0];
/// Seconds that a download of a large model may well take.
const LONG_SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
const ROWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];

/// Installs the recorder for this process. Later calls give the same handle.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    // Held to the end: two servers that start at once in one process must not both install one.
    let mut installed = HANDLE.lock();
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(DOWNLOAD_SECONDS.into()), &LONG_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_ROWS.into()), &ROWS)?
        .install_recorder()?;
    describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(installed.insert(handle).clone())
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by model, version, track and status.");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "From the request's head to its answer.");
    describe_gauge!(IN_FLIGHT, "Requests being answered.");
    describe_counter!(ERRORS, "Requests that failed, by model and kind.");
    describe_histogram!(PREDICTION_SECONDS, Unit::Seconds, "One execution of a batch on the model.");
    describe_histogram!(BATCH_ROWS, "Rows of one execution.");
    describe_counter!(EXECUTIONS, "Executions by how they ended.");
    describe_gauge!(QUEUE_DEPTH, "Jobs waiting for a worker; of a request with texts, each text is one.");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "Opening and warming up a version.");
    describe_counter!(LOADS, "Loads of versions, by result.");
    describe_gauge!(MODEL_STATE, "1 for the state that a version is in.");
    describe_gauge!(MODEL_SESSIONS, "Copies of the model in memory.");
    describe_gauge!(MODEL_INLINE, "1 when a version runs on the reactors, 0 when on threads of its own.");
    describe_gauge!(REGISTRY_UP, "1 when the registry was last read without an error.");
    describe_counter!(REGISTRY_WRITES, "Aliases and tags written to the registry, by result.");
    describe_gauge!(REGISTRY_WRITES_PENDING, "Writes that the registry has not taken yet.");
    describe_counter!(DOWNLOAD_BYTES, Unit::Bytes, "Bytes of artifacts downloaded.");
    describe_histogram!(DOWNLOAD_SECONDS, Unit::Seconds, "One artifact's download.");
    describe_counter!(CACHE_LOOKUPS, "Inputs looked up in the response cache, by result.");
    describe_gauge!(CACHE_BYTES, Unit::Bytes, "Memory of the answers that the response cache holds.");
    describe_gauge!(CACHE_ANSWERS, "Answers that the response cache holds.");
    describe_counter!(TOKENS, "Tokens computed, by kind: those of texts, and padding.");
    describe_gauge!(CONNECTIONS, "Open connections.");
    describe_gauge!(READY, "1 when the server is ready.");
    describe_gauge!(BUILD_INFO, "The version of perch.");
    rollouts::describe();
    metrics_process::Collector::default().describe();
}

/// Gauges of the process itself, read when the metrics are asked for.
pub fn collect_process() {
    metrics_process::Collector::default().collect();
}

/// Requests being answered.
pub fn in_flight() -> Gauge {
    gauge!(IN_FLIGHT)
}

/// Open connections.
pub fn connections() -> Gauge {
    gauge!(CONNECTIONS)
}

/// The server's readiness.
pub fn set_ready(ready: bool) {
    gauge!(READY).set(f64::from(u8::from(ready)));
}

/// Whether the registry could be read.
pub fn set_registry_up(up: bool) {
    gauge!(REGISTRY_UP).set(f64::from(u8::from(up)));
}

/// A failed request.
pub fn count_error(model: &str, kind: &'static str) {
    counter!(ERRORS, "model" => model.to_owned(), "kind" => kind).increment(1);
}

/// A load that ended, or never began for want of files.
pub fn count_load(model: &str, loaded: bool) {
    let result = if loaded { "loaded" } else { "failed" };
    counter!(LOADS, "model" => model.to_owned(), "result" => result).increment(1);
}

/// A load that ended, and how long opening and warming up took.
pub fn record_load(model: &str, took: Duration, loaded: bool) {
    count_load(model, loaded);
    histogram!(LOAD_SECONDS, "model" => model.to_owned()).record(took);
}

/// A write to the registry that ended.
pub fn count_registry_write(written: bool) {
    counter!(REGISTRY_WRITES, "result" => if written { "written" } else { "refused" }).increment(1);
}

/// Writes that the registry has not taken yet.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_registry_writes_pending(pending: usize) {
    gauge!(REGISTRY_WRITES_PENDING).set(pending as f64);
}

/// Downloads of one model's artifacts.
pub struct DownloadMetrics {
    bytes: Counter,
    seconds: Histogram,
}

impl DownloadMetrics {
    /// Handles of a model.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let labels = [("model", model.to_owned())];
        Self { bytes: counter!(DOWNLOAD_BYTES, &labels), seconds: histogram!(DOWNLOAD_SECONDS, &labels) }
    }

    /// So many bytes came.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.increment(bytes);
    }

    /// All is here.
    pub fn end(&self, took: Duration) {
        self.seconds.record(took);
    }
}

/// The states that a version may be in, as `perch_model_state` names them.
pub const STATES: [&str; 5] = ["loading", "ready", "failed", "quarantined", "unloaded"];

/// The state of a version: 1 for it, 0 for the others.
pub fn set_state(model: &str, version: u64, state: &str) {
    for other in STATES {
        let on = f64::from(u8::from(other == state));
        gauge!(MODEL_STATE, "model" => model.to_owned(), "version" => version.to_string(), "state" => other).set(on);
    }
}

/// What the response cache holds: bytes and answers.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_cache_size((bytes, answers): (u64, u64)) {
    gauge!(CACHE_BYTES).set(bytes as f64);
    gauge!(CACHE_ANSWERS).set(answers as f64);
}

/// Inputs of one version that were looked up in the response cache.
pub struct CacheMetrics {
    hits: Counter,
    misses: Counter,
}

impl CacheMetrics {
    /// Handles of a version under a track.
    #[must_use]
    pub fn new(model: &str, version: &str, track: &str) -> Self {
        let counter = |result: &'static str| {
            let labels = [("model", model), ("version", version), ("track", track), ("result", result)];
            counter!(CACHE_LOOKUPS, &labels.map(|(key, value)| (key, value.to_owned())))
        };
        Self { hits: counter("hit"), misses: counter("miss") }
    }

    /// One was looked up.
    pub fn count(&self, hit: bool) {
        if hit { &self.hits } else { &self.misses }.increment(1);
    }
}

/// Gauges of one loaded version.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_version(model: &str, version: u64, sessions: usize, inline: bool, queue: usize) {
    let labels = [("model", model.to_owned()), ("version", version.to_string())];
    gauge!(MODEL_SESSIONS, &labels).set(sessions as f64);
    gauge!(MODEL_INLINE, &labels).set(f64::from(u8::from(inline)));
    gauge!(QUEUE_DEPTH, &labels).set(queue as f64);
}

/// Statuses that our endpoints answer with, and that of a client that hung up; each has its handles made once.
const STATUSES: [u16; 17] = [200, 202, 400, 401, 403, 404, 405, 408, 409, 413, 422, 424, 429, 499, 500, 503, 504];

/// `http_requests_total` and `http_request_duration_seconds` of one model, version and track.
pub struct RequestMetrics {
    labels: [(&'static str, String); 3],
    by_status: [OnceLock<(Counter, Histogram)>; STATUSES.len()],
}

impl RequestMetrics {
    /// Handles for these labels; empty ones where a request met no model.
    #[must_use]
    pub fn new(model: &str, version: &str, track: &str) -> Self {
        let labels = [("model", model.to_owned()), ("version", version.to_owned()), ("track", track.to_owned())];
        Self { labels, by_status: [const { OnceLock::new() }; STATUSES.len()] }
    }

    /// The model's name, or nothing.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.labels[0].1
    }

    /// Counts one answer.
    pub fn record(&self, status: StatusCode, took: Duration) {
        let handles = || {
            let mut labels = self.labels.to_vec();
            labels.push(("status", status.as_str().to_owned()));
            (counter!(REQUESTS, &labels), histogram!(REQUEST_SECONDS, &labels))
        };
        let count = |(requests, seconds): &(Counter, Histogram)| {
            requests.increment(1);
            seconds.record(took);
        };
        match STATUSES.iter().position(|known| *known == status.as_u16()) {
            Some(known) => count(self.by_status[known].get_or_init(handles)),
            // So rare that it may be looked up each time.
            None => count(&handles()),
        }
    }
}

struct ExecutionHandles {
    seconds: Histogram,
    rows: Histogram,
    by_outcome: [Counter; 4],
    /// Of texts, and of padding; only a model that takes texts has them.
    tokens: OnceLock<[Counter; 2]>,
}

/// Execution metrics of one loaded version, under the track that it serves at the moment.
pub struct ExecutionMetrics {
    model: String,
    version: String,
    track: AtomicU8,
    handles: [OnceLock<ExecutionHandles>; 2],
}

impl ExecutionMetrics {
    /// Handles of a version.
    #[must_use]
    pub fn new(model: &str, version: u64) -> Self {
        let handles = [const { OnceLock::new() }; 2];
        Self { model: model.to_owned(), version: version.to_string(), track: AtomicU8::new(0), handles }
    }

    fn tokens(&self, track: usize) -> [Counter; 2] {
        let (model, version, track) = (self.model.as_str(), self.version.as_str(), Track::ALL[track].name());
        ["text", "padding"].map(|kind| {
            let labels = [("model", model), ("version", version), ("track", track), ("kind", kind)];
            counter!(TOKENS, &labels.map(|(key, value)| (key, value.to_owned())))
        })
    }

    /// Later executions are counted under `track`.
    pub fn set_track(&self, track: Track) {
        self.track.store(track as u8, Ordering::Relaxed);
    }
}

impl Observer for ExecutionMetrics {
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    fn executed(&self, execution: &Execution) {
        let track = usize::from(self.track.load(Ordering::Relaxed)).min(1);
        let handles = self.handles[track].get_or_init(|| {
            let track = Track::ALL[track].name().to_owned();
            let labels = [("model", self.model.clone()), ("version", self.version.clone()), ("track", track)];
            let outcome = |outcome: &'static str| {
                let mut labels = labels.to_vec();
                labels.push(("outcome", outcome.to_owned()));
                counter!(EXECUTIONS, &labels)
            };
            let tokens = OnceLock::new();
            ExecutionHandles {
                tokens,
                seconds: histogram!(PREDICTION_SECONDS, &labels),
                rows: histogram!(BATCH_ROWS, &labels),
                by_outcome: ["ok", "failed", "invalid_input", "terminated"].map(outcome),
            }
        });
        handles.seconds.record(execution.duration);
        handles.rows.record(execution.rows as f64);
        let outcome = match execution.outcome {
            Outcome::Ok => 0,
            Outcome::Failed => 1,
            Outcome::InvalidInput => 2,
            Outcome::Terminated => 3,
        };
        handles.by_outcome[outcome].increment(1);
        if let Some(tokens) = execution.tokens {
            let [real, padding] = handles.tokens.get_or_init(|| self.tokens(track));
            real.increment(tokens.real as u64);
            padding.increment(tokens.padded.saturating_sub(tokens.real) as u64);
        }
    }
}
