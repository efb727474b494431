//! Secrets: where they come from, and that nobody sees them.

use super::{env, layers, load, wrong};
use crate::config::{Config, Layers, RegistrySource, Secret};

const SERVER: &str = "registry: {uri: \"http://m\", password: {env: PASSWORD}}\nartifacts: {cache: c}\n";

fn password(layers: Layers) -> Option<String> {
    match load(layers).config.registry.source {
        RegistrySource::Mlflow(mlflow) => mlflow.password.map(|secret| secret.expose().to_owned()),
        RegistrySource::Directory { path } => panic!("{path:?}"),
    }
}

#[test]
fn from_the_environment() {
    assert_eq!(password(layers(SERVER, &[("PASSWORD", " a b ")])).as_deref(), Some(" a b "));
    for (env, message) in [
        (vec![], "the environment variable PASSWORD is not set"),
        (vec![("PASSWORD", "")], "the environment variable PASSWORD is empty"),
        (vec![("PASSWORD", "hunter2\n")], "PASSWORD: expected a secret, got several lines or other control characters"),
    ] {
        assert_eq!(wrong(layers(SERVER, &env)), [format!("registry.password (perch.yaml:1): {message}")]);
    }
}

#[test]
fn from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let name = path.display().to_string();
    let file = SERVER.replace("{env: PASSWORD}", &format!("{{file: \"{name}\"}}"));
    for (text, secret) in [("abc", "abc"), ("abc\n", "abc"), ("a b\r\n", "a b")] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(password(layers(&file, &[])).as_deref(), Some(secret));
    }
    let large = "x".repeat(70_000);
    for (text, message) in [
        (b"\n".as_slice(), ": expected a secret, got nothing"),
        (b"hunter2\n\n", ": expected a secret, got several lines or other control characters"),
        (b"\xff", " is no secret: not UTF-8 text"),
        (large.as_bytes(), " is no secret: larger than 64 KiB"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(wrong(layers(&file, &[])), [format!("registry.password (perch.yaml:1): {name}{message}")]);
    }
    std::fs::remove_file(&path).unwrap();
    let found = wrong(layers(&file, &[]));
    assert!(found[0].starts_with(&format!("registry.password (perch.yaml:1): {name} cannot be read: ")), "{found:?}");
}

#[test]
fn the_strongest_counts_as_a_whole() {
    let own = ("MLFLOW_TRACKING_PASSWORD", "shell");
    let pointed = ("PASSWORD", "pointed");
    let ours = ("PERCH__REGISTRY__PASSWORD", "ours");
    assert_eq!(password(layers(SERVER, &[own, pointed])).as_deref(), Some("pointed"));
    assert_eq!(password(layers(SERVER, &[own, pointed, ours])).as_deref(), Some("ours"));
    let ours = [pointed, ("OTHER", "other"), ("PERCH__REGISTRY__PASSWORD__ENV", "OTHER")];
    assert_eq!(password(layers(SERVER, &ours)).as_deref(), Some("other"));
    let literal = SERVER.replace("{env: PASSWORD}", "literal");
    assert_eq!(password(layers(&literal, &ours)).as_deref(), Some("other"));
    assert_eq!(password(layers(SERVER, &[own, ("PERCH__REGISTRY__PASSWORD", "")])), None);
}

#[test]
fn from_the_address() {
    let file = "registry: {uri: \"http://me:hunter%202@mlflow/x\"}\nartifacts: {cache: c}";
    let loaded = load(layers(file, &[]));
    let RegistrySource::Mlflow(mlflow) = &loaded.config.registry.source else { panic!() };
    assert_eq!(mlflow.uri, "http://mlflow/x");
    assert_eq!(mlflow.username.as_deref(), Some("me"));
    assert_eq!(mlflow.password, Some(Secret::new("hunter 2")));
    for shown in [loaded.to_yaml(), loaded.to_json().to_string(), format!("{loaded:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
    // Keys say more than an address does.
    assert_eq!(password(layers(file, &[("MLFLOW_TRACKING_PASSWORD", "own")])).as_deref(), Some("own"));
}

#[test]
fn never_shown() {
    let file = "\
server: {adminToken: hunter2}
registry:
  uri: http://m
  username: me
  password: {env: PASSWORD}
  token: ${TOKEN}
artifacts: {cache: c}
";
    let variables = [("PASSWORD", "hunter2"), ("TOKEN", "hunter2")];
    let loaded = load(layers(file, &variables));
    let yaml = loaded.to_yaml();
    for line in [
        "  adminToken: \"***\"                      # perch.yaml:1\n",
        "  password:\n    env: PASSWORD                        # perch.yaml:5\n",
        "  token: \"***\"                           # perch.yaml:6\n",
    ] {
        assert!(yaml.contains(line), "{yaml}");
    }
    let secret = Secret::new("hunter2");
    for shown in [
        yaml.clone(),
        loaded.to_json().to_string(),
        format!("{loaded:?}"),
        format!("{:#?}", loaded.config),
        format!("{secret} {secret:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
    // What points to a secret is printed as it was written, and loads again.
    let again = Config::load(Layers::new().file_text("printed.yaml", yaml).env(env(&variables))).unwrap().config;
    assert_eq!(again.server.admin_token, Some(Secret::new("***")));
    let RegistrySource::Mlflow(mlflow) = again.registry.source else { panic!() };
    assert_eq!(mlflow.password, Some(secret));
}

#[test]
fn not_in_errors_either() {
    for value in [
        "1234567",
        "[hunter2]",
        "\"hunter2\\n\"",
        "\"hunter2${\"",
        "\"${hunter2-}\"",
        "{env: hunter2-}",
        "{env: [hunter2]}",
        "{file: [hunter2]}",
        "{env: A, file: B}",
        "\"\"",
    ] {
        for key in ["server: {adminToken", "registry: {token", "registry: {password"] {
            let file = format!("{key}: {value}}}");
            let found = wrong(layers(&file, &[("MLFLOW_TRACKING_URI", "http://m"), ("HOME", "/h")])).join("\n");
            assert!(!found.contains("hunter2") && !found.contains("1234567"), "{found}");
            assert!(found.starts_with(&key.replace(": {", ".")), "{found}");
        }
    }
    let env = [
        ("PERCH__SERVER__ADMIN_TOKEN", "hunter2"),
        ("PERCH__SERVER__ADMIN_TOKEN__ENV", "X"),
        ("PERCH__REGISTRY__PATH", "m"),
    ];
    assert_eq!(
        wrong(layers("", &env)),
        [
            "server.adminToken (PERCH__SERVER__ADMIN_TOKEN): \"***\" here, but PERCH__SERVER__ADMIN_TOKEN__ENV sets keys \
          below it"
        ]
    );
    assert_eq!(
        wrong(layers("registry: {path: m}\nserver: {adminToken: {}}", &[]).flag(
            "server.adminToken",
            Some(" ".to_owned()),
            "--token"
        )),
        ["server.adminToken (--token): expected a secret, got nothing"]
    );
}
