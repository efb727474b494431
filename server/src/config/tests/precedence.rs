//! Which layer wins, and what `${NAME}` does on the way.

use super::{layers, load, wrong};
use crate::config::{Layers, Model, RegistrySource, Threads};
use perch_models::{backend::Device, registry::Selector};
use std::{path::PathBuf, time::Duration};

fn flag(layers: Layers, key: &'static str, value: &str, name: &'static str) -> Layers {
    layers.flag(key, Some(value.to_owned()), name)
}

fn source(loaded: &crate::config::Loaded, key: &str) -> String {
    loaded.source_of(key).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn each_layer_beats_the_one_below() {
    let file = "registry: {path: file}\nserver:\n  listen: 1.1.1.1:1\n";
    let env = [("PERCH__SERVER__LISTEN", "2.2.2.2:2")];
    let cases = [
        (layers("registry: {path: x}", &[]), "127.0.0.1:8000", "default"),
        (layers(file, &[]), "1.1.1.1:1", "perch.yaml:3"),
        (layers(file, &env), "2.2.2.2:2", "PERCH__SERVER__LISTEN"),
        (flag(layers(file, &env), "server.listen", ":3", "--listen"), "0.0.0.0:3", "--listen"),
    ];
    for (layers, listen, from) in cases {
        let loaded = load(layers);
        assert_eq!(loaded.config.server.listen.to_string(), listen);
        assert_eq!(source(&loaded, "server.listen"), from);
    }
}

#[test]
fn well_known_names_are_weaker_than_the_file() {
    let path = "registry: {path: m}\n";
    let own = ("ORT_DYLIB_PATH", "/env.so");
    let ours = ("PERCH__RUNTIME__LIBRARY", "/perch.so");
    let with = format!("{path}runtime: {{library: /file.so}}");
    for (file, env, library, from) in [
        (path, vec![], None, "default"),
        (path, vec![own], Some("/env.so"), "ORT_DYLIB_PATH"),
        (with.as_str(), vec![own], Some("/file.so"), "perch.yaml:2"),
        (with.as_str(), vec![own, ours], Some("/perch.so"), "PERCH__RUNTIME__LIBRARY"),
        // Written, but empty: back to the default.
        (with.as_str(), vec![own, ("PERCH__RUNTIME__LIBRARY", "")], None, "default"),
    ] {
        let loaded = load(layers(file, &env));
        assert_eq!(loaded.config.runtime.library, library.map(PathBuf::from));
        assert_eq!(source(&loaded, "runtime.library"), from);
    }
    let env = [
        ("RUST_LOG", "perch=debug,[span{x=1}]=trace"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_SERVICE_NAME", "123"),
    ];
    let config = load(layers(path, &env)).config;
    assert_eq!(config.log.filter, "perch=debug,[span{x=1}]=trace");
    assert_eq!(config.telemetry.otlp_endpoint.as_deref(), Some("http://c:4318"));
    assert_eq!(config.telemetry.service_name, "123");
}

#[test]
fn sections_are_joined_and_lists_replaced() {
    let file = "\
registry: {path: m}
server: {drain: {delay: 1s, timeout: 2s}}
models: [a, {name: b, required: false}]
";
    let env = [
        ("PERCH__SERVER__DRAIN__DELAY", "0s"),
        ("PERCH__MODELS", "[c, {name: d, stable: {version: 3}, canary: latest}]"),
    ];
    let config = load(layers(file, &env)).config;
    assert_eq!(config.server.drain.delay, Duration::ZERO);
    assert_eq!(config.server.drain.timeout, Duration::from_secs(2));
    let mut d = Model::named("d");
    d.stable = Selector::Version(3);
    d.canary = Selector::Latest;
    assert_eq!(config.models, [Model::named("c"), d]);
}

#[test]
fn flags_choose_models_and_keep_their_settings() {
    let file = "\
registry: {path: m}
models:
  - name: a
    device: cuda:1
    threads: 3
    instances: 2
    loadTimeout: 2m
    batching: {maxRows: 8}
  - name: b
";
    let names = ["c", "a"].map(ToOwned::to_owned);
    let loaded = load(layers(file, &[]).flag("models", names, "--model"));
    let [c, a] = loaded.config.models.as_slice() else { panic!("{:?}", loaded.config.models) };
    assert_eq!(*c, Model::named("c"));
    assert_eq!(a.name, "a");
    assert_eq!(a.device, Some(Device::Cuda(1)));
    assert!(matches!(a.threads, Some(Threads::Fixed(n)) if n.get() == 3));
    assert_eq!(a.instances.map(std::num::NonZero::get), Some(2));
    assert_eq!(a.load_timeout, Duration::from_secs(120));
    assert_eq!(a.batching.max_rows, 8);
    assert_eq!(a.batching.max_queue, Duration::from_secs(2));
    assert_eq!(source(&loaded, "models"), "--model");
}

#[test]
fn variables_are_filled_in() {
    let file = "\
registry:
  path: ${ROOT}/models/$${literal}
server:
  maxConnections: ${COUNT}
  maxBody: \"${COUNT}KiB\"
models:
  - ${NAME}
";
    let env = [("ROOT", "/srv"), ("COUNT", "7"), ("NAME", "b")];
    let config = load(layers(file, &env)).config;
    let path = PathBuf::from("/srv/models/${literal}");
    assert_eq!(config.registry.source, RegistrySource::Directory { path });
    assert_eq!(config.server.max_connections, 7);
    assert_eq!(config.server.max_body, 7 * 1024);
    assert_eq!(config.models, [Model::named("b")]);
    assert_eq!(
        wrong(layers(file, &[("NAME", "")])),
        [
            "registry.path (perch.yaml:2): the environment variable ROOT is not set",
            "server.maxConnections (perch.yaml:4): the environment variable COUNT is not set",
            "server.maxBody (perch.yaml:5): the environment variable COUNT is not set",
            "models[0].name (perch.yaml:7): expected a name of letters, digits, '.', '_' and '-', got \"\"",
        ]
    );
}

#[test]
fn anchors_and_merge_keys() {
    let file = "\
registry: {path: m}
models:
  - &base
    name: a
    batching: {maxRows: 8}
  - <<: *base
    name: b
";
    let models = load(layers(file, &[])).config.models;
    let rows: Vec<_> = models.iter().map(|m| (m.name.as_str(), m.batching.max_rows)).collect();
    assert_eq!(rows, [("a", 8), ("b", 8)]);
    let broken = file.replace('8', "0");
    assert_eq!(
        wrong(layers(&broken, &[])),
        [
            "models[0].batching.maxRows (perch.yaml:5): expected 1 to 65536, got 0",
            "models[1].batching.maxRows (perch.yaml:5): expected 1 to 65536, got 0",
        ]
    );
}
