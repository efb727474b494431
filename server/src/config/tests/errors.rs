//! Golden messages: every error at once, each with its key and its place.

use super::{layers, wrong};
use crate::config::{Config, Layers};
use proptest::prelude::*;

#[test]
fn every_error_at_once() {
    let file = "\
server:
  listen: 8000
  metricsListen: localhost:9090
  maxBody: lots
  requestTimeout: 0s
  lisetn: 127.0.0.1:1
  drain: {delay: 5, timeout: \"${TIMEOUT}\"}
runtime:
  device: tpu
  threads: 0
registry:
  type: mlflow
  uri: ${MLFLOW_TRACKING_URI}
  poll: 10ms
models:
  - name: curve forecaster
    stable: {alias: a, version: 1}
    canary: newest
    instances: many
    batching: {maxRows: 70000, maxQueue: [1]}
  - stable: {version: 0}
    canary: {phase: x}
  - {name: twice}
  - twice
  - 7
log: text
tracing: {}
";
    let variables = [
        ("PERCH__SERVER__MAX_IN_FLIGHT", "many"),
        ("PERCH__SERVER__MAX_CONECTIONS", "5"),
        ("PERCH__LOG__FORMAT", "xml"),
        ("PERCH__telemetry__X", "1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:p@bad host"),
    ];
    let flags = layers(file, &variables).flag("server.idleTimeout", Some("0ms".to_owned()), "--idle");
    let found = wrong(flags);
    let expected = "\
server.drain.timeout (perch.yaml:7): the environment variable TIMEOUT is not set
registry.uri (perch.yaml:13): the environment variable MLFLOW_TRACKING_URI is not set
PERCH__telemetry__X: expected a name such as PERCH__SERVER__MAX_BODY
log (perch.yaml:26): \"text\" here, but PERCH__LOG__FORMAT sets keys below it
server.listen (perch.yaml:2): expected an address and a port such as 127.0.0.1:8000 or [::]:8000, got 8000 (a port alone; :8000 listens on all addresses, 127.0.0.1:8000 on this machine)
server.metricsListen (perch.yaml:3): expected an address and a port such as 127.0.0.1:8000 or [::]:8000, got \"localhost:9090\"
server.maxBody (perch.yaml:4): expected a size such as 32MiB, got \"lots\"
server.requestTimeout (perch.yaml:5): expected at least 1ms, got \"0s\"
server.idleTimeout (--idle): expected at least 1ms, got \"0ms\"
server.maxInFlight (PERCH__SERVER__MAX_IN_FLIGHT): expected a whole number, got \"many\"
server.drain.delay (perch.yaml:7): expected a duration such as 10s, 250ms, 1m or 1h, got 5 (a number needs its unit)
server.lisetn (perch.yaml:6): unknown key, did you mean listen?
server.maxConections (PERCH__SERVER__MAX_CONECTIONS): unknown key, did you mean maxConnections?
runtime.device (perch.yaml:9): expected auto, cpu, cuda, cuda:N or openvino, got \"tpu\"
runtime.threads (perch.yaml:10): expected auto or 1 to 1024, got 0
registry.poll (perch.yaml:14): expected at least 50ms, got \"10ms\"
artifacts.cache: expected a folder for fetched models (flag --cache), as neither XDG_CACHE_HOME nor HOME is set
models[0].name (perch.yaml:16): expected a name of letters, digits, '.', '_' and '-', got \"curve forecaster\"
models[0].stable (perch.yaml:17): expected {alias: NAME}, {stage: NAME}, {version: N} or latest, got several
models[0].canary (perch.yaml:18): expected {alias: NAME}, {stage: NAME}, {version: N} or latest, got \"newest\"
models[0].instances (perch.yaml:19): expected 1 to 1024, got \"many\"
models[0].batching.maxRows (perch.yaml:20): expected 1 to 65536, got 70000
models[0].batching.maxQueue (perch.yaml:20): expected one value, got a list
models[1].name: expected the name of a model
models[1].stable.version (perch.yaml:21): expected at least 1, got 0
models[1].canary.phase (perch.yaml:22): unknown key; the keys here are alias, stage, version
models[4].name (perch.yaml:25): expected a name of letters, digits, '.', '_' and '-' as text, got 7 (put it in quotes)
models[3] (perch.yaml:24): twice is models[2] already
telemetry.otlpEndpoint (OTEL_EXPORTER_OTLP_ENDPOINT): expected a URL such as http://localhost:4318, got \"http://***@bad host\"
tracing (perch.yaml:27): unknown key; the keys here are server, runtime, models, registry, artifacts, state, rollouts, log, telemetry";
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_not_yaml() {
    // What is missing may be in the lost file, so nothing is said about it; what is wrong elsewhere
    // is said still.
    for (file, message) in [
        ("a: [1, 2", "perch.yaml:1:4: unclosed bracket '['"),
        ("server: {}\nlog: {}\nserver: {}\n", "perch.yaml:3:1: the key \"server\" is written twice in one mapping"),
        ("log: {}\n---\nlog: {}\n", "perch.yaml:3:1: expected one YAML document, got several"),
        (
            "server:\n  listen: [::]:8000\n",
            "perch.yaml:2:15: while parsing a block mapping, did not find expected key \
             (put an address such as \"[::]:8000\" in quotes)",
        ),
        (
            "log: {filter: ${X}}\n",
            "perch.yaml:1:16: while parsing a flow mapping, did not find expected ',' or '}' \
             (within { } or [ ], put \"${NAME}\" in quotes)",
        ),
        ("log: *no", "perch.yaml:1:6: reference to unknown value"),
        ("log: !x 1", "perch.yaml:1:9: unsupported tag `!x`"),
        ("- a", "perch.yaml: expected sections such as `server:`, got a list"),
        ("text", "perch.yaml: expected sections such as `server:`, got \"text\""),
    ] {
        assert_eq!(
            wrong(layers(file, &[("PERCH__LOG__FORMAT", "xml")])),
            [message, "log.format (PERCH__LOG__FORMAT): expected auto, text or json, got \"xml\"",]
        );
    }
}

#[test]
fn files_that_grow_without_end() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let last = format!("*a{}", i - 1);
        let list = [last.as_str(); 8].join(", ");
        bomb.extend([format!("a{i}: &a{i} [{list}]\n")]);
    }
    let found = wrong(layers(&bomb, &[]));
    assert!(found[0].contains("too large or too complex"), "{found:?}");
    let deep = "[".repeat(100_000);
    assert!(!wrong(layers(&deep, &[])).is_empty());
    let found = wrong(layers(&format!("{}1{}", "{a: ".repeat(50), "}".repeat(50)), &[]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn wrong_models_are_found_though_flags_choose_others() {
    let models = ["good", "bad name", "good"].map(ToOwned::to_owned);
    let found =
        wrong(layers("registry: {path: m}\nmodels: [{name: x, threads: no}]", &[]).flag("models", models, "--model"));
    assert_eq!(
        found,
        [
            "models[0].threads (perch.yaml:2): expected auto or 1 to 1024, got \"no\"",
            "models[1].name (--model): expected a name of letters, digits, '.', '_' and '-', got \"bad name\"",
            "models[2] (--model): good is models[0] already",
        ]
    );
}

#[test]
fn nothing_at_all() {
    for file in ["", "# a comment\n", "~", "server:\nlog:\n"] {
        assert_eq!(
            wrong(layers(file, &[])),
            ["registry.path: expected the folder of models (flag --models), or as registry.uri an MLflow server \
              such as http://mlflow:5000 (flag --mlflow, MLFLOW_TRACKING_URI)"]
        );
    }
}

#[test]
fn an_open_admin_port_needs_a_token() {
    let registry = "\nregistry: {path: models}\n";
    for (server, expected) in [
        ("server: {adminListen: 127.0.0.1:8001}", None),
        ("server: {adminListen: 0.0.0.0:8001, adminToken: secret}", None),
        (
            "server: {adminListen: 0.0.0.0:8001}",
            Some(
                "server.adminListen (perch.yaml:1): expected a loopback address, got 0.0.0.0:8001 \
                 (server.adminToken opens it to others)",
            ),
        ),
    ] {
        let loaded = Config::load(layers(&format!("{server}{registry}"), &[]));
        assert_eq!(loaded.err().map(|errors| errors.to_string()).as_deref(), expected, "{server}");
    }
}

/// Pieces that are likely to make something of the loader's.
const PIECES: [&str; 34] = [
    "server", "listen", "maxBody", "drain", "models", "name", "stable", "alias", "version", "batching", "registry",
    "path", ":", ": ", "\n", "\n  ", "\n- ", "\t", "[", "]", "{", "}", ", ", "&a ", "*a", "<<: ", "!!int ", "\"", "'",
    "|\n", "${X}", "${", "1", "10s",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_an_answer(text in any::<String>()) {
        if let Err(errors) = Config::load(Layers::new().file_text("t", text)) {
            prop_assert_eq!(errors.to_string().lines().count(), errors.0.len());
        }
    }

    #[test]
    fn anything_like_ours_is_an_answer(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        name in "(PERCH__)?[A-Z_]{0,12}",
    ) {
        let text = pieces.concat();
        let env = [(name, text.clone()), ("PERCH__MODELS".to_owned(), text.clone())];
        if let Err(errors) = Config::load(Layers::new().file_text("t", &text).env(env)) {
            prop_assert!(!errors.0.is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.0.len());
        }
    }
}
