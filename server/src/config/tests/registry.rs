//! Which registry: what chooses its type, and which keys go with it.

use super::{env, layers, load, wrong};
use crate::config::{Config, Layers, Loaded, Mlflow, RegistrySource, Secret};
use std::{path::PathBuf, time::Duration};

const SHELL: (&str, &str) = ("MLFLOW_TRACKING_URI", "http://shell:5000");
const HOME: (&str, &str) = ("HOME", "/home/me");

/// The type, what was chosen, and the source of the type.
fn chosen(loaded: &Loaded) -> (String, String) {
    let from = loaded.source_of("registry.type").map(ToString::to_string).unwrap_or_default();
    match &loaded.config.registry.source {
        RegistrySource::Directory { path } => (path.display().to_string(), from),
        RegistrySource::Mlflow(mlflow) => (mlflow.uri.clone(), from),
    }
}

fn mlflow(config: &Config) -> &Mlflow {
    match &config.registry.source {
        RegistrySource::Mlflow(mlflow) => mlflow,
        RegistrySource::Directory { path } => panic!("{path:?}"),
    }
}

#[test]
fn the_stronger_layer_chooses_the_type() {
    const FOLDER: &str = "registry: {path: file}";
    const SERVER: &str = "registry: {uri: \"http://file\"}";
    let path = ("PERCH__REGISTRY__PATH", "ours");
    let uri = ("PERCH__REGISTRY__URI", "http://ours");
    let kind = ("PERCH__REGISTRY__TYPE", "mlflow");
    for (file, env, flag, expected, from) in [
        ("", vec![SHELL], None, "http://shell:5000", "MLFLOW_TRACKING_URI"),
        ("", vec![SHELL], Some("--models"), "flag", "--models"),
        ("", vec![], Some("--mlflow"), "http://flag", "--mlflow"),
        (FOLDER, vec![], None, "file", "perch.yaml:1"),
        (FOLDER, vec![SHELL], None, "file", "perch.yaml:1"),
        (FOLDER, vec![SHELL, uri], None, "http://ours", "PERCH__REGISTRY__URI"),
        (FOLDER, vec![uri], Some("--models"), "flag", "--models"),
        (FOLDER, vec![], Some("--mlflow"), "http://flag", "--mlflow"),
        (SERVER, vec![SHELL], None, "http://file", "perch.yaml:1"),
        (SERVER, vec![path], None, "ours", "PERCH__REGISTRY__PATH"),
        (SERVER, vec![], Some("--models"), "flag", "--models"),
        // An explicit type wins.
        ("registry: {path: file, type: directory}", vec![SHELL], None, "file", "perch.yaml:1"),
        ("registry: {type: mlflow}", vec![SHELL], None, "http://shell:5000", "perch.yaml:1"),
        ("registry: {uri: \"http://file\", path: file}", vec![kind], None, "http://file", "PERCH__REGISTRY__TYPE"),
        // Written, but empty: not there.
        (FOLDER, vec![SHELL, ("PERCH__REGISTRY__PATH", "")], None, "http://shell:5000", "MLFLOW_TRACKING_URI"),
    ] {
        let mut layers = layers(file, &[vec![HOME], env].concat());
        layers = match flag {
            Some("--models") => layers.flag("registry.path", Some("flag".to_owned()), "--models"),
            Some(name) => layers.flag("registry.uri", Some("http://flag".to_owned()), name),
            None => layers,
        };
        let loaded = load(layers);
        assert_eq!(chosen(&loaded), (expected.to_owned(), from.to_owned()), "{file}");
    }
}

#[test]
fn both_and_neither() {
    let both = "registry: {path: m, uri: \"http://mlflow\"}";
    assert_eq!(
        wrong(layers(both, &[SHELL])),
        ["registry.type: expected mlflow or directory, as there are both registry.path (perch.yaml:1) and \
          registry.uri (perch.yaml:1)"]
    );
    let flags = Layers::new().env(env(&[])).flag("registry.path", Some("m".to_owned()), "--models");
    let flags = flags.flag("registry.uri", Some("http://mlflow".to_owned()), "--mlflow");
    assert_eq!(
        wrong(flags),
        ["registry.type: expected mlflow or directory, as there are both registry.path (--models) and \
          registry.uri (--mlflow)"]
    );
    // All of it is checked though nobody knows which half counts.
    let found = wrong(layers("registry: {timeout: 5, poll: 1ms, select: {tag: =}, x: 1}", &[]));
    assert_eq!(
        found,
        [
            "registry.path: expected the folder of models (flag --models), or as registry.uri an MLflow server such \
             as http://mlflow:5000 (flag --mlflow, MLFLOW_TRACKING_URI)",
            "registry.timeout (perch.yaml:1): expected a duration such as 10s, 250ms, 1m or 1h, got 5 (a number needs \
             its unit)",
            "registry.select.tag (perch.yaml:1): expected a tag as KEY=VALUE, or KEY for any value, got \"=\"",
            "registry.poll (perch.yaml:1): expected at least 50ms, got \"1ms\"",
            "registry.x (perch.yaml:1): unknown key; the keys here are type, path, uri, timeout, username, password, \
             token, caCert, insecureTls, select, poll, writeBack, stable, canary, rollout",
        ]
    );
}

#[test]
fn a_type_needs_its_key() {
    assert_eq!(
        wrong(layers("registry: {type: directory}", &[SHELL])),
        ["registry.path: expected the folder of models (flag --models)"]
    );
    assert_eq!(
        wrong(layers("registry: {type: mlflow}", &[HOME])),
        ["registry.uri: expected an MLflow server such as http://mlflow:5000 (flag --mlflow, MLFLOW_TRACKING_URI)"]
    );
    assert_eq!(
        wrong(layers("registry: {type: s3, path: m}", &[])),
        ["registry.type (perch.yaml:1): expected mlflow or directory, got \"s3\""]
    );
    assert_eq!(
        wrong(layers("", &[HOME, ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")])),
        ["registry.uri (MLFLOW_TRACKING_URI): expected the URL of an MLflow server such as http://mlflow:5000, got \
          \"sqlite:///mlflow.db\" (perch talks to an MLflow server over HTTP)"]
    );
}

#[test]
fn keys_of_the_other_type() {
    let file = "\
registry:
  path: m
  timeout: 5s
  username: me
  password: {env: NOWHERE}
  select: {tag: a}
  insecureTls: maybe
";
    assert_eq!(
        wrong(layers(file, &[])),
        [3, 4, 5, 7, 6].map(|line| {
            let key = file.lines().nth(line - 1).and_then(|line| line.trim().split(':').next()).unwrap_or_default();
            format!("registry.{key} (perch.yaml:{line}): is only for type mlflow, and perch.yaml:2 says directory")
        })
    );
    let models = |layers: Layers| layers.flag("registry.path", Some("flag".to_owned()), "--models");
    assert_eq!(
        wrong(models(layers("registry: {type: mlflow, uri: \"http://m\"}", &[HOME]))),
        ["registry.path (--models): is only for type directory, and perch.yaml:1 says mlflow"]
    );
    // Overruled together with the server that they are for.
    let file = "registry: {uri: \"http://m\", timeout: 5s, select: {tag: a}}";
    assert_eq!(chosen(&load(models(layers(file, &[])))).0, "flag");
    // Other programs' variables are no mistake, whatever is in them.
    let env = [
        SHELL,
        ("MLFLOW_TRACKING_USERNAME", "me"),
        ("MLFLOW_TRACKING_PASSWORD", "secret"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "perhaps"),
    ];
    assert_eq!(chosen(&load(layers("registry: {type: directory, path: m}", &env))).0, "m");
}

#[test]
fn variables_of_mlflow_and_s3() {
    let env = [
        SHELL,
        ("MLFLOW_TRACKING_USERNAME", "me"),
        ("MLFLOW_TRACKING_PASSWORD", "12345"),
        ("MLFLOW_TRACKING_TOKEN", "t"),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/ca.pem"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "1"),
        ("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000"),
        ("AWS_CA_BUNDLE", "/aws.pem"),
        ("XDG_CACHE_HOME", "/cache"),
        HOME,
    ];
    let config = load(layers("", &env)).config;
    let server = mlflow(&config);
    assert_eq!(server.username.as_deref(), Some("me"));
    assert_eq!(server.password.as_ref().map(Secret::expose), Some("12345"));
    assert_eq!(server.token.as_ref().map(Secret::expose), Some("t"));
    assert_eq!(server.ca_cert, Some(PathBuf::from("/ca.pem")));
    assert!(server.insecure_tls);
    assert_eq!(server.timeout, Duration::from_secs(10));
    assert_eq!(config.registry.poll, Duration::from_secs(10));
    assert_eq!(config.artifacts.s3_endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!(config.artifacts.ca_cert, Some(PathBuf::from("/aws.pem")));
    assert_eq!(config.artifacts.cache, PathBuf::from("/cache/perch"));
}

#[test]
fn the_cache_has_a_place() {
    let file = "registry: {uri: \"http://m\"}";
    for (env, cache, from) in [
        (vec![("XDG_CACHE_HOME", "/x"), HOME], "/x/perch", "XDG_CACHE_HOME"),
        (vec![("XDG_CACHE_HOME", "relative"), HOME], "/home/me/.cache/perch", "HOME"),
        (vec![HOME, ("PERCH__ARTIFACTS__CACHE", "/c")], "/c", "PERCH__ARTIFACTS__CACHE"),
    ] {
        let loaded = load(layers(file, &env));
        assert_eq!(loaded.config.artifacts.cache, PathBuf::from(cache));
        assert_eq!(loaded.source_of("artifacts.cache").map(ToString::to_string).as_deref(), Some(from));
    }
    assert_eq!(
        wrong(layers(file, &[("HOME", "")])),
        ["artifacts.cache: expected a folder for fetched models (flag --cache), as neither XDG_CACHE_HOME nor HOME \
          is set"]
    );
    let found = wrong(layers("registry: {path: m}\nartifacts: {maxSize: 1000, s3Endpoint: minio}", &[]));
    assert_eq!(
        found,
        [
            "artifacts.maxSize (perch.yaml:2): expected at least 1MiB, got 1000",
            "artifacts.s3Endpoint (perch.yaml:2): expected a URL such as http://localhost:4318, got \"minio\"",
        ]
    );
}

/// The file of the design, without the keys that are still to come.
#[test]
fn the_sample() {
    let file = "\
server:
  listen: 0.0.0.0:8000
  metricsListen: 0.0.0.0:9090
  adminListen: 127.0.0.1:8001
  adminToken: {env: PERCH_ADMIN_TOKEN}
  maxBody: 32MiB
  requestTimeout: 10s
  drain: {delay: 5s, timeout: 30s}
runtime:
  device: auto
  threads: auto
registry:
  type: mlflow
  uri: ${MLFLOW_TRACKING_URI}
  poll: 10s
  writeBack: {aliases: true, tags: false}
  select: {tag: perch.serve=true}
artifacts:
  cache: /var/cache/perch
  maxSize: 20GiB
models:
  - name: curve_forecaster
    stable: {alias: stable}
    canary: {alias: canary}
    required: true
  - name: minilm
    source: file:///models/minilm
    batching: {maxRows: 64, maxQueue: 2s}
";
    let config = load(layers(file, &[SHELL, ("PERCH_ADMIN_TOKEN", "t")])).config;
    assert_eq!(config.server.admin_listen.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:8001"));
    assert_eq!(mlflow(&config).uri, "http://shell:5000");
    assert!(config.registry.write_back.aliases && !config.registry.write_back.tags);
    assert_eq!(config.artifacts.max_size, 20 << 30);
}

/// What the documentation shows is a file that loads.
#[test]
fn the_documented_file() {
    let text = include_str!("../../../../docs/configuration.md");
    let file = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let file = file.replace("{file: /run/secrets/mlflow}", "{env: TOKEN}");
    load(layers(&file, &[("TOKEN", "t"), ("PERCH_ADMIN_TOKEN", "t")]));
}
