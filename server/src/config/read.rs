//! From the merged tree to the typed result: one function per section, one line per key.

use super::{
    env::Env,
    error::ConfigError,
    fields::Fields,
    models::{self, Inherited},
    policy::Policies,
    schema::{Artifacts, Config, Drain, Log, Rollouts, Runtime, Server, Telemetry},
    secret,
    tree::{Node, Source},
    units::Bytes,
    words::{RegistryKind, Url},
};
use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) mod placement;
mod registry;
mod state;

/// The shortest limit on time: with 0 nothing would ever be in time.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// A cache below this would hold no model.
const SMALLEST_CACHE: Bytes = Bytes(1 << 20);
/// Above this a limit limits nothing, and below the most that a semaphore can count.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;

/// Reads the tree: the configuration, the record of every value with its source, and the errors.
/// `flagged` are the models named by flags, with the flag; `env` is where secrets and the cache's
/// place may be; `stateless` is whether `state` is not needed.
pub(super) fn config(
    tree: Node,
    flagged: &[(String, Source)],
    env: &Env,
    stateless: bool,
) -> (Config, Node, Vec<ConfigError>) {
    Fields::root(tree, |root| {
        let server = root.section("server", |f| server(f, env));
        let mut policies = Policies::new(env, server.request_timeout);
        let runtime = root.section("runtime", runtime);
        let items = root.items("models");
        let listed = !items.0.is_empty() || !flagged.is_empty();
        let (registry, kind, rollout) = root.section("registry", |f| registry::registry(f, env, listed, &mut policies));
        let artifacts = root.section("artifacts", |f| artifacts(f, env, kind == Some(RegistryKind::Mlflow)));
        let stages = kind != Some(RegistryKind::Directory);
        let mut inherited = Inherited { runtime: &runtime, registry: &registry, stages, rollout, policies };
        let models = models::models(root, items, flagged, &mut inherited);
        let state = state::state(root, &registry.source, env, !stateless);
        let rollouts = root.section("rollouts", |f| Rollouts { audit_log: f.take_opt("auditLog") });
        let log = root.section("log", log);
        let telemetry = root.section("telemetry", telemetry);
        Config { server, runtime, registry, artifacts, models, state, rollouts, log, telemetry }
    })
}

fn server(f: &mut Fields, env: &Env) -> Server {
    let default = Server::default();
    let listen = f.take("listen", default.listen);
    let metrics_listen = f.take_opt("metricsListen");
    let (admin_source, guarded) = (f.written("adminListen"), f.written("adminToken").is_some());
    let admin_listen: Option<SocketAddr> = f.take_opt("adminListen");
    let admin_token = secret::take(f, "adminToken", env);
    if let (Some(address), Some(source)) = (admin_listen.filter(|address| !address.ip().is_loopback()), admin_source)
        && !guarded
    {
        let message = format!("expected a loopback address, got {address} (server.adminToken opens it to others)");
        f.error("adminListen", &source, message);
    }
    let max_body = f.take_in("maxBody", Bytes(default.max_body), Bytes(1)..).0;
    // Below it, the largest body would never find room.
    let max_buffered = Bytes(default.max_buffered.max(max_body));
    Server {
        listen,
        metrics_listen,
        admin_listen,
        admin_token,
        max_body,
        max_buffered: f.take_in("maxBuffered", max_buffered, Bytes(max_body)..).0,
        response_cache: f.take("responseCache", Bytes(default.response_cache)).0,
        request_timeout: f.take_in("requestTimeout", default.request_timeout, SHORTEST..),
        idle_timeout: f.take_in("idleTimeout", default.idle_timeout, SHORTEST..),
        max_connections: f.take_in("maxConnections", default.max_connections, COUNTS),
        max_in_flight: f.take_in("maxInFlight", default.max_in_flight, COUNTS),
        drain: f.section("drain", |f| Drain {
            delay: f.take("delay", default.drain.delay),
            timeout: f.take("timeout", default.drain.timeout),
        }),
    }
}

fn runtime(f: &mut Fields) -> Runtime {
    let default = Runtime::default();
    let device = f.take("device", default.device);
    Runtime {
        device,
        precision: placement::default_precision(f, device),
        memory_limit: placement::memory_limit(f, device),
        agreement: placement::agreement(f),
        library: f.take_opt("library"),
        threads: f.take("threads", default.threads),
    }
}

/// `remote`: whether models are fetched, so that a cache is needed.
fn artifacts(f: &mut Fields, env: &Env, remote: bool) -> Artifacts {
    Artifacts {
        cache: match cache(env) {
            Some((folder, from)) => f.take_from("cache", folder, from),
            None if remote => {
                let expected = "a folder for fetched models (flag --cache), as neither XDG_CACHE_HOME nor HOME is set";
                f.require("cache", expected).unwrap_or_default()
            }
            None => f.take_opt("cache").unwrap_or_default(),
        },
        max_size: f.take_in("maxSize", Bytes(20 << 30), SMALLEST_CACHE..).0 as u64,
        s3_endpoint: f.take_opt::<Url>("s3Endpoint").map(|url| url.0),
        ca_cert: f.take_opt("caCert"),
    }
}

/// The cache's place by default. A relative `XDG_CACHE_HOME` counts as not set, as its standard has it.
fn cache(env: &Env) -> Option<(PathBuf, Source)> {
    home(env, "XDG_CACHE_HOME", ".cache")
}

/// Our folder in the one that `name` says, else in `below` of `HOME`.
fn home(env: &Env, name: &'static str, below: &str) -> Option<(PathBuf, Source)> {
    let set = |name: &'static str| env.get(name).filter(|path| !path.is_empty()).map(Path::new);
    let (name, folder) = match set(name).filter(|path| path.is_absolute()) {
        Some(folder) => (name, folder.to_owned()),
        None => ("HOME", set("HOME")?.join(below)),
    };
    Some((folder.join("perch"), Source::Env(name.into())))
}

fn log(f: &mut Fields) -> Log {
    let default = Log::default();
    Log { format: f.take("format", default.format), filter: f.take("filter", default.filter) }
}

fn telemetry(f: &mut Fields) -> Telemetry {
    let default = Telemetry::default();
    Telemetry {
        otlp_endpoint: f.take_opt::<Url>("otlpEndpoint").map(|url| url.0),
        service_name: f.take("serviceName", default.service_name),
    }
}
