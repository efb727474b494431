//! The printout: golden, and loading to the configuration that it was printed from.

use super::{env, layers, load};
use crate::config::{Config, Layers};
use proptest::prelude::*;

const FILE: &str = "\
server:
  listen: '[::]:8000'
  maxBody: 1000
registry:
  path: ${ROOT}/$${x} y
models:
  - name: curve
    stable: {version: 3}
    canary: latest
  - minilm
telemetry:
  otlpEndpoint: http://me:secret@collector:4318
";

/// Whole policies are other tests' business.
fn without_policies(yaml: &str) -> String {
    let mut inside = None;
    let mut kept = String::new();
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        if inside.is_some_and(|policy| indent > policy) {
            continue;
        }
        inside = (line.trim() == "rollout:").then_some(indent);
        if inside.is_none() {
            kept.extend([line, "\n"]);
        }
    }
    kept
}

#[test]
fn yaml() {
    let env = [("ROOT", "/srv"), ("PERCH__LOG__FILTER", "warn")];
    let loaded = load(layers(FILE, &env).flag("runtime.threads", Some("4".to_owned()), "--threads"));
    let expected = "\
server:
  listen: \"[::]:8000\"                    # perch.yaml:2
  metricsListen: null                    # default
  adminListen: null                      # default
  adminToken: null                       # default
  maxBody: 1000                          # perch.yaml:3
  maxBuffered: 512MiB                    # default
  responseCache: 0                       # default
  requestTimeout: 10s                    # default
  idleTimeout: 75s                       # default
  maxConnections: 10000                  # default
  maxInFlight: 4096                      # default
  drain:
    delay: 5s                            # default
    timeout: 30s                         # default
runtime:
  device: auto                           # default
  precision: fp32                        # default
  memoryLimit: null                      # default
  agreement:
    cosine: null                         # default
    relative: null                       # default
  library: null                          # default
  threads: 4                             # --threads
registry:
  type: directory                        # perch.yaml:5
  path: \"/srv/$${x} y\"                   # perch.yaml:5
  poll: 500ms                            # default
  writeBack:
    aliases: true                        # default
    tags: true                           # default
  stable:
    alias: stable                        # default
  canary:
    alias: canary                        # default
artifacts:
  cache: null                            # default
  maxSize: 20GiB                         # default
  s3Endpoint: null                       # default
  caCert: null                           # default
models:
  - name: curve                          # perch.yaml:7
    source: curve                        # default
    required: true                       # default
    stable:
      version: 3                         # perch.yaml:8
    canary: latest                       # perch.yaml:9
    device: null                         # default
    precision: null                      # default
    memoryLimit: null                    # default
    agreement:
      cosine: null                       # default
      relative: null                     # default
    threads: null                        # default
    instances: null                      # default
    loadTimeout: 1m                      # default
    batching:
      maxRows: 64                        # default
      maxQueue: 2s                       # default
      maxDelay: 0s                       # default
      buckets: null                      # default
    cache: true                          # default
  - name: minilm                         # perch.yaml:10
    source: minilm                       # default
    required: true                       # default
    stable:
      alias: stable                      # default
    canary:
      alias: canary                      # default
    device: null                         # default
    precision: null                      # default
    memoryLimit: null                    # default
    agreement:
      cosine: null                       # default
      relative: null                     # default
    threads: null                        # default
    instances: null                      # default
    loadTimeout: 1m                      # default
    batching:
      maxRows: 64                        # default
      maxQueue: 2s                       # default
      maxDelay: 0s                       # default
      buckets: null                      # default
    cache: true                          # default
state: sqlite:///state/perch/state-3256e5c26564.db # XDG_STATE_HOME
rollouts:
  auditLog: null                         # default
log:
  format: auto                           # default
  filter: warn                           # PERCH__LOG__FILTER
telemetry:
  otlpEndpoint: \"http://***@collector:4318\" # perch.yaml:12
  serviceName: perch                     # default
";
    assert_eq!(without_policies(&loaded.to_yaml()), expected);
    assert_eq!(loaded.config.telemetry.otlp_endpoint.as_deref(), Some("http://me:secret@collector:4318"));
}

#[test]
fn json() {
    let loaded = load(layers(FILE, &[("ROOT", "/srv")]));
    let json = loaded.to_json();
    for (pointer, expected) in [
        ("/server/listen", r#"{"value":"[::]:8000","source":"perch.yaml:2"}"#),
        ("/server/maxBody", r#"{"value":1000,"source":"perch.yaml:3"}"#),
        ("/runtime/library", r#"{"value":null,"source":"default"}"#),
        ("/models/0/stable/version", r#"{"value":3,"source":"perch.yaml:8"}"#),
        ("/models/1/required", r#"{"value":true,"source":"default"}"#),
        ("/telemetry/otlpEndpoint", r#"{"value":"http://***@collector:4318","source":"perch.yaml:12"}"#),
    ] {
        let found = json.pointer(pointer).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected));
    }
    let empty = load(layers("registry: {path: m}", &[])).to_json();
    assert_eq!(
        empty.pointer("/models").map(ToString::to_string).as_deref(),
        Some(r#"{"value":[],"source":"default"}"#)
    );
}

fn reloaded(printed: &str) -> Config {
    load(Layers::new().file_text("printed.yaml", printed)).config
}

#[test]
fn printed_and_loaded_again() {
    let loaded = load(layers(&FILE.replace("me:secret@", ""), &[("ROOT", "/srv")]));
    assert_eq!(reloaded(&loaded.to_yaml()), loaded.config);
    let empty = load(layers("registry: {path: m}", &[]));
    assert_eq!(reloaded(&empty.to_yaml()), empty.config);
    let file = "\
registry:
  uri: https://mlflow:5000/x
  timeout: 1500ms
  caCert: /ca.pem
  insecureTls: true
  writeBack: {tags: false}
  select: {tag: team}
  stable: {stage: Production}
artifacts: {maxSize: 1GB, s3Endpoint: \"http://minio:9000\"}
models:
  - {name: a, source: Model a, device: openvino, precision: bf16, agreement: {cosine: 0.99}, batching: {buckets: [8, 16]}}
  - {name: c, device: \"cuda:1\", precision: tf32, memoryLimit: 2GiB, batching: {buckets: []}}
  - {name: b, source: \"file:///m/a@b %25\"}
";
    let mlflow = load(layers(file, &[("XDG_CACHE_HOME", "/x")]));
    assert_eq!(reloaded(&mlflow.to_yaml()), mlflow.config);
    let listed = load(layers("", &[("MLFLOW_TRACKING_URI", "http://m"), ("HOME", "/h")]));
    assert_eq!(reloaded(&listed.to_yaml()), listed.config);
}

proptest! {
    #[test]
    fn any_values_are_printed_and_loaded_again(
        path in any::<String>(),
        filter in "[ -~é\n${}]{0,20}",
        service in "[a-z0-9.:#~-]{0,6}",
        name in "[A-Za-z0-9._-]{1,6}",
        micros in 1_000_u64..10_000_000_000,
        rows in 1_usize..=65_536,
        version in 1_u64..,
    ) {
        prop_assume!(![&path, &filter, &service].into_iter().any(|s| s.contains("://")));
        let mut layers = Layers::new().env(env(&[]));
        for (key, value) in [
            ("registry.path", path),
            ("log.filter", filter),
            ("telemetry.serviceName", service),
            ("server.idleTimeout", format!("{micros}us")),
        ] {
            layers = layers.flag(key, Some(value), "--flag");
        }
        let models = format!(
            "[{{name: \"{name}\", stable: {{version: {version}}}, batching: {{maxRows: {rows}}}}}]"
        );
        let layers = layers.env([("PERCH__MODELS".to_owned(), models)]);
        // A blank text or a name of dots is refused: those are other tests' business.
        if let Ok(loaded) = Config::load(layers) {
            prop_assert_eq!(reloaded(&loaded.to_yaml()), loaded.config);
        }
    }
}
