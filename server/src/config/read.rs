//! From the merged tree to the typed result: one function per section, one line per key.

use super::{
    error::ConfigError,
    fields::Fields,
    models,
    schema::{Config, Drain, Log, Registry, Runtime, Server, Telemetry},
    tree::{Node, Source},
    units::Bytes,
    words::{Directory, Url},
};
use std::{ops::RangeInclusive, time::Duration};

/// The shortest limit on time: with 0 nothing would ever be in time.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// The folder of models is not to be read without a pause.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
/// Above this a limit limits nothing, and below the most that a semaphore can count.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;

/// Reads the tree: the configuration, the record of every value with its source, and the errors.
/// `flagged` are the models named by flags, with the flag.
pub(super) fn config(tree: Node, flagged: &[(String, Source)]) -> (Config, Node, Vec<ConfigError>) {
    Fields::root(tree, |root| Config {
        server: root.section("server", server),
        runtime: root.section("runtime", runtime),
        registry: root.section("registry", registry),
        models: models::models(root, flagged),
        log: root.section("log", log),
        telemetry: root.section("telemetry", telemetry),
    })
}

fn server(f: &mut Fields) -> Server {
    let default = Server::default();
    let listen = f.take("listen", default.listen);
    let metrics_listen = f.take_opt("metricsListen");
    let max_body = f.take_in("maxBody", Bytes(default.max_body), Bytes(1)..).0;
    // Below it, the largest body would never find room.
    let max_buffered = Bytes(default.max_buffered.max(max_body));
    Server {
        listen,
        metrics_listen,
        max_body,
        max_buffered: f.take_in("maxBuffered", max_buffered, Bytes(max_body)..).0,
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
    Runtime {
        device: f.take("device", default.device),
        library: f.take_opt("library"),
        threads: f.take("threads", default.threads),
    }
}

fn registry(f: &mut Fields) -> Registry {
    // Read for what it refuses: there is one type so far.
    f.take("type", Directory);
    Registry {
        path: f.require("path", "the folder of models (flag --models)").unwrap_or_default(),
        poll: f.take_in("poll", Duration::from_millis(500), SHORTEST_POLL..),
    }
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
