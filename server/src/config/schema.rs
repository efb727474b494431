//! What can be configured: the typed result, with every default in one place.

use super::Secret;
use perch_models::{
    backend::{Device, Precision},
    registry::Selector,
};
use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

mod placement;
mod registry;
mod rollout;
pub(super) use placement::limits_memory;
pub use placement::{Agreement, Placement};
pub use registry::{Artifacts, Mlflow, Registry, RegistrySource, TagFilter, WriteBack};
pub use rollout::{Receiver, Rollout, Rollouts, StateUrl};

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `server`: the HTTP side.
    pub server: Server,
    /// `runtime`: what models run on.
    pub runtime: Runtime,
    /// `registry`: where models come from.
    pub registry: Registry,
    /// `artifacts`: where their files go.
    pub artifacts: Artifacts,
    /// `models`: which models are served, in the order given. Empty: every model found in a directory,
    /// those of `registry.select` in MLflow.
    pub models: Vec<Model>,
    /// `state`: where rollouts are remembered (flag `--state`). Default `state-….db` in `$XDG_STATE_HOME/perch`, else
    /// in `$HOME/.local/state/perch`, by another name for each registry.
    pub state: StateUrl,
    /// `rollouts`: what is written about rollouts.
    pub rollouts: Rollouts,
    /// `log`: what is written to stderr.
    pub log: Log,
    /// `telemetry`: where traces go.
    pub telemetry: Telemetry,
}

/// `server`: the HTTP side.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `listen`: address and port; port 0 takes a free one. Default 127.0.0.1:8000.
    pub listen: SocketAddr,
    /// `metricsListen`: a second address for /metrics and /health; none by default.
    pub metrics_listen: Option<SocketAddr>,
    /// `adminListen`: /admin only here; none by default.
    pub admin_listen: Option<SocketAddr>,
    /// `adminToken`: what /admin asks for; none by default. A text, `{env: NAME}` or `{file: PATH}`.
    pub admin_token: Option<Secret>,
    /// `maxBody`: the largest request body, in bytes. Default 32 MiB, at least 1.
    pub max_body: usize,
    /// `requestTimeout`: how long a request may take before it is answered 504. Default 10 s,
    /// at least 1 ms.
    pub request_timeout: Duration,
    /// `idleTimeout`: how long a connection may wait for a complete request head. Default 75 s, at
    /// least 1 ms.
    pub idle_timeout: Duration,
    /// `maxBuffered`: bytes of bodies above 64 KiB that are held at once; more are answered 429.
    /// Default 512 MiB, at least `maxBody`.
    pub max_buffered: usize,
    /// `responseCache`: bytes of answers that are kept, to be given again to equal inputs. Default 0:
    /// none.
    pub response_cache: usize,
    /// `maxConnections`: connections open at once. Default 10000.
    pub max_connections: usize,
    /// `maxInFlight`: requests worked on at once; more are shed. Default 4096.
    pub max_in_flight: usize,
    /// `drain`: how the server stops.
    pub drain: Drain,
}

/// `server.drain`: how the server stops.
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// `delay`: how long it goes on accepting after it stopped being ready, so that load balancers
    /// notice. Default 5 s; may be 0.
    pub delay: Duration,
    /// `timeout`: how long requests in flight may then take. Default 30 s; may be 0.
    pub timeout: Duration,
}

/// `runtime`: what models run on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runtime {
    /// `device`: auto | cpu | cuda | cuda:N | openvino. Default auto.
    pub device: Device,
    /// `precision`: fp32 | tf32 | bf16 | fp16, of which `device` offers some. Default fp32.
    pub precision: Precision,
    /// `memoryLimit`: of a CUDA device's memory, for the tensors of each session. As many as it needs by default, at
    /// least 1 MiB.
    pub memory_limit: Option<usize>,
    /// `agreement`: how near answers have to be to those of the CPU in fp32.
    pub agreement: Agreement,
    /// `library`: the file of the ONNX Runtime library (`ORT_DYLIB_PATH`); searched for when not
    /// given. Taken as written: relative to the working directory.
    pub library: Option<PathBuf>,
    /// `threads`: auto, or how many. Default auto.
    pub threads: Threads,
}

/// How many threads a model computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// From the cgroup's quota and cpuset.
    #[default]
    Auto,
    /// This many, 1 to 1024.
    Fixed(NonZeroUsize),
}

/// One of `models`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `name`: the name on the wire: letters, digits, `.`, `_` and `-`. Unique.
    pub name: String,
    /// `source`: what the registry calls it, or a folder of its own. Default its name.
    pub source: ModelSource,
    /// `required`: whether readiness waits for it. Default true.
    pub required: bool,
    /// `stable`: the version that serves. Default `registry.stable`.
    pub stable: Selector,
    /// `canary`: the version on trial. Default `registry.canary`.
    pub canary: Selector,
    /// `device`: in place of `runtime.device`.
    pub device: Option<Device>,
    /// `precision`: in place of `runtime.precision`.
    pub precision: Option<Precision>,
    /// `memoryLimit`: in place of `runtime.memoryLimit`.
    pub memory_limit: Option<usize>,
    /// `agreement`: in place of `runtime.agreement`.
    pub agreement: Agreement,
    /// `threads`: in place of `runtime.threads`.
    pub threads: Option<Threads>,
    /// `instances`: copies of the model in memory, 1 to 1024; as many as it needs when not given.
    pub instances: Option<NonZeroUsize>,
    /// `loadTimeout`: how long loading and warming up may take. Default 60 s, at least 1 ms.
    pub load_timeout: Duration,
    /// `batching`: how requests are put together.
    pub batching: Batching,
    /// `cache`: whether its answers may be kept in `server.responseCache`. Default true.
    pub cache: bool,
    /// `rollout`: how a canary comes to all traffic. Default `registry.rollout`.
    pub rollout: Arc<Rollout>,
}

/// `models[].source`: where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The registry's model of this name, without `/`, `\` and `:`.
    Named(String),
    /// `file:///FOLDER`: a folder laid out as one model of the local registry, or an artifact by
    /// itself.
    Folder(PathBuf),
}

/// `models[].batching`: how requests are put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batching {
    /// `maxRows`: the most rows in one run. Default 64, 1 to 65536.
    pub max_rows: usize,
    /// `maxQueue`: the most work that may wait for each worker, by the time it is expected to take. Default 2 s, at least
    /// 1 ms.
    pub max_queue: Duration,
    /// `maxDelay`: the longest that a request waits for company while a worker is free. Default 0, at most 1 s.
    pub max_delay: Duration,
    /// `buckets`: lengths that rows of text are padded to, ascending, 1 to 1048576. Default what the
    /// [device](Device::buckets) needs: none on the CPU.
    pub buckets: Option<Vec<usize>>,
}

/// `log`: what is written to stderr.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `format`: auto | text | json. Default auto.
    pub format: LogFormat,
    /// `filter`: levels per target, as `RUST_LOG` has them. Default `info`. Not checked here.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `telemetry`: where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// `otlpEndpoint`: the URL of a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`); no traces without.
    pub otlp_endpoint: Option<String>,
    /// `serviceName`: under which name (`OTEL_SERVICE_NAME`). Default `perch`.
    pub service_name: String,
}

impl Model {
    /// A model with nothing but its name. [`Registry::model`] has the settings of one that is not
    /// listed.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            source: ModelSource::Named(name.clone()),
            name,
            required: true,
            stable: Selector::Alias("stable".to_owned()),
            canary: Selector::Alias("canary".to_owned()),
            device: None,
            precision: None,
            memory_limit: None,
            agreement: Agreement::default(),
            threads: None,
            instances: None,
            load_timeout: Duration::from_secs(60),
            batching: Batching::default(),
            cache: true,
            rollout: Arc::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            metrics_listen: None,
            admin_listen: None,
            admin_token: None,
            max_body: 32 << 20,
            max_buffered: 512 << 20,
            response_cache: 0,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connections: 10_000,
            max_in_flight: 4096,
            drain: Drain::default(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), timeout: Duration::from_secs(30) }
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self { max_rows: 64, max_queue: Duration::from_secs(2), max_delay: Duration::ZERO, buckets: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, service_name: "perch".to_owned() }
    }
}
