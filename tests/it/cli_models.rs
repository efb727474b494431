//! `perch models`: what serves is looked at, pulled, promoted and rolled back, in a folder and in MLflow.

use std::fs;
use std::process::Command;

use perch_testkit::models::source;
use perch_testkit::process::{Ended, command, run};
use perch_testkit::{Models, Services, Store, TestServer};
use serde_json::{Value, json};

use crate::PERCH;
use crate::cli::{assert_ended, models, parsed, perch};

fn aliases(folder: &Models, name: &str) -> Value {
    let text = fs::read(folder.path().join(name).join("aliases.json")).expect("aliases");
    serde_json::from_slice(&text).expect("JSON")
}

/// The rows of `list`, each as version, track and state.
fn tracks(ended: &Ended) -> Vec<(Value, Value, Value)> {
    let rows = parsed(ended);
    let row = |row: &Value| (row["version"].clone(), row["track"].clone(), row["state"].clone());
    rows.as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn the_canary_is_promoted_and_rolled_back_and_a_server_follows() {
    let server = TestServer::with(&["curve_forecaster"]);
    let folder = &server.models;
    let listed = || tracks(&models(folder, &["list"], &["--output", "json"]));
    let promoted = models(folder, &["promote"], &["--model", "curve_forecaster"]);
    assert_ended(&promoted, 1, &["no canary (alias canary)", "--version one of 1, 2, 3, or latest"]);
    let set = models(folder, &["alias", "set"], &["curve_forecaster", "canary", "2"]);
    assert_ended(&set, 0, &["curve_forecaster: canary none -> 2"]);
    server.wait_serving("curve_forecaster", "canary", 2);
    assert_eq!(
        listed().iter().map(|row| &row.1).collect::<Vec<_>>(),
        [&json!("stable"), &json!("canary"), &Value::Null]
    );

    let promoted = models(folder, &["promote"], &["--model", "curve_forecaster"]);
    let back = format!("to go back: perch models rollback curve_forecaster --models {}", folder.path().display());
    assert_ended(&promoted, 0, &["curve_forecaster: stable 1 -> 2\n", "curve_forecaster: canary is removed\n", &back]);
    assert_eq!(aliases(folder, "curve_forecaster"), json!({"previous": 1, "stable": 2}));
    server.wait_serving("curve_forecaster", "stable", 2);

    assert_ended(&models(folder, &["rollback"], &["curve_forecaster"]), 0, &["stable 2 -> 1"]);
    assert_eq!(aliases(folder, "curve_forecaster"), json!({"previous": 2, "stable": 1}));
    server.wait_serving("curve_forecaster", "stable", 1);
    let again = models(folder, &["rollback"], &["--model", "curve_forecaster", "--output", "json"]);
    let moved = parsed(&again);
    assert_eq!((&moved["alias"], &moved["from"], &moved["to"]), (&json!("stable"), &json!("1"), &json!("2")));
    assert_eq!(moved["previous"], "1");
    assert_eq!(aliases(folder, "curve_forecaster"), json!({"previous": 1, "stable": 2}));

    let latest = models(folder, &["promote"], &["curve_forecaster", "--version", "latest"]);
    assert_ended(&latest, 0, &["stable 2 -> 3"]);
    let same = models(folder, &["promote"], &["curve_forecaster", "--version", "3"]);
    assert_ended(&same, 0, &["stable is 3 already"]);
    assert_eq!(aliases(folder, "curve_forecaster"), json!({"previous": 2, "stable": 3}));
    let other = models(folder, &["promote"], &["curve_forecaster", "--version", "1", "--alias", "shadow"]);
    assert_ended(&other, 0, &["shadow none -> 1"]);
    assert_eq!(aliases(folder, "curve_forecaster"), json!({"previous": 2, "shadow": 1, "stable": 3}));
}

#[test]
fn what_cannot_be_moved_is_told_and_nothing_changes() {
    let folder = Models::with(&["curve_forecaster", "external"]);
    let before = aliases(&folder, "curve_forecaster");
    for (action, arguments, code, pieces) in [
        (&["promote"][..], &["--model", "nobody"][..], 1, &["no model \"nobody\"", "curve_forecaster, external"][..]),
        (&["promote"], &["curve_forecaster", "--version", "9"], 1, &["no version 9, expected one of 1, 2, 3"]),
        (&["promote"], &["curve_forecaster", "--version", "last"], 64, &["a number or latest"]),
        (&["promote"], &["curve_forecaster", "--version", "2", "--stage", "Production"], 1, &["has no stages"]),
        (&["promote"], &["curve_forecaster", "--stage", "a", "--alias", "b"], 64, &["--alias"]),
        (&["promote"], &[], 64, &["--model"]),
        (&["rollback"], &["curve_forecaster"], 1, &["no alias previous"]),
        (&["rollback"], &["nobody"], 1, &["nobody"]),
        (&["rollback"], &["curve_forecaster", "--model", "external"], 64, &["--model"]),
        (&["alias", "delete"], &["curve_forecaster", "canary"], 0, &["there is no canary, nothing to delete"]),
        (&["pull"], &["--version", "1"], 64, &["--model"]),
        (&["pull"], &["--model", "external", "--version", "9"], 1, &["no version 9, expected one of 1"]),
        (&["list"], &["--model", "nobody"], 1, &["no model \"nobody\""]),
    ] {
        assert_ended(&models(&folder, action, arguments), code, pieces);
        assert_eq!(aliases(&folder, "curve_forecaster"), before, "{action:?} {arguments:?}");
    }
    folder.write("curve_forecaster/aliases.json", br#"{"stable": "one"}"#);
    for action in [&["list"][..], &["verify"], &["pull"]] {
        assert_ended(&models(&folder, action, &[]), 1, &["curve_forecaster: ", "aliases.json", "external"]);
    }
    assert_ended(&models(&folder, &["rollback"], &["curve_forecaster"]), 1, &["aliases.json"]);
    folder.write("curve_forecaster/aliases.json", br#"{"stable": 9}"#);
    let dangling = models(&folder, &["list"], &[]);
    assert_ended(&dangling, 1, &["curve_forecaster: alias stable names version 9, which is not there"]);
}

#[test]
fn the_configured_alias_is_the_one_that_is_moved() {
    let folder = Models::with(&["curve_forecaster"]);
    let models = "models: [{name: curve, source: curve_forecaster, stable: {alias: live}, canary: {alias: next}}]";
    let file = folder.path().join("perch.yaml");
    fs::write(&file, format!("registry: {{path: {}}}\n{models}\n", folder.path().display())).expect("written");
    let config = ["--config", file.to_str().expect("UTF-8")];
    let models = |arguments: &[&str]| perch(&[&["models"], arguments, &config].concat());
    assert_ended(&models(&["alias", "set", "curve", "live", "1"]), 0, &["curve: live none -> 1"]);
    assert_ended(&models(&["alias", "set", "curve", "next", "3"]), 0, &["curve: next none -> 3"]);
    assert_ended(&models(&["promote", "curve"]), 0, &["curve: live 1 -> 3", "next is removed", "--config"]);
    assert_eq!(aliases(&folder, "curve_forecaster"), json!({"live": 3, "previous": 1, "stable": 1}));
    let deleted = models(&["alias", "delete", "curve", "live"]);
    assert_ended(&deleted, 0, &["curve: live 3 -> none"]);
    assert_ended(&models(&["verify"]), 0, &["curve"]);
    assert_ended(&models(&["pull"]), 1, &["curve: no version carries the alias live"]);
    assert_ended(&models(&["rollback", "curve"]), 0, &["curve: live none -> 3"]);
}

#[test]
fn the_first_alias_of_a_folder_takes_nothing_away() {
    let folder = Models::with(&[]);
    for version in 1..=3 {
        folder.copy_version("external", 1, "plain", version);
    }
    folder.write("plain/tags.json", br#"{"3": {"perch.state": "failed", "perch.error": "no memory"}}"#);
    let listed = models(&folder, &["list"], &["--output", "json"]);
    let stable = (json!("2"), json!("stable"), Value::Null);
    assert_eq!(tracks(&listed)[1], stable, "the highest that loads");
    assert_ended(&models(&folder, &["list"], &[]), 0, &["failed: no memory"]);
    let set = models(&folder, &["alias", "set"], &["plain", "canary", "3"]);
    assert_ended(&set, 0, &["canary none -> 3", "plain had no aliases", "stable is 2 from now on"]);
    assert_eq!(aliases(&folder, "plain"), json!({"canary": 3, "stable": 2}));
    let promoted = models(&folder, &["promote"], &["plain"]);
    assert_ended(&promoted, 0, &["stable 2 -> 3", "could not load version 3 when it last tried: no memory"]);
    assert_ended(&models(&folder, &["rollback"], &["plain"]), 0, &["stable 3 -> 2"]);
}

#[test]
fn a_folder_has_nothing_to_pull() {
    let folder = Models::with(&["curve_forecaster", "external"]);
    folder.set_alias("curve_forecaster", "canary", 3);
    let pulled = models(&folder, &["pull"], &["--output", "json"]);
    assert_ended(&pulled, 0, &["nothing has to be pulled"]);
    let rows = parsed(&pulled);
    let path = |path: &str| json!(folder.path().join(path));
    let paths: Vec<&Value> = rows.as_array().expect("rows").iter().map(|row| &row["path"]).collect();
    assert_eq!(paths, [&path("curve_forecaster/1"), &path("curve_forecaster/3"), &path("external/1")]);
    let digest = perch(&["models", "digest", folder.path().join("external/1").to_str().expect("UTF-8")]);
    assert_eq!((&rows[2]["digest"], &rows[2]["bytes"]), (&json!(digest.stdout.trim()), &json!(309)));
    let one = models(&folder, &["pull"], &["--model", "curve_forecaster", "--version", "2"]);
    assert_ended(&one, 0, &["curve_forecaster  2", "sha256:", "curve_forecaster/2"]);
    folder.remove("external/1/weights.bin");
    let broken = models(&folder, &["pull"], &["--model", "external"]);
    assert_ended(&broken, 1, &["weights.bin", "1 of 1 versions could not be pulled"]);
}

/// `perch models` over the MLflow of these tests.
struct Registry {
    services: &'static Services,
    cache: tempfile::TempDir,
}

impl Registry {
    fn command(&self, arguments: &[&str]) -> Command {
        let cache = self.cache.path().to_str().expect("UTF-8");
        let mut command = command(PERCH, &[&["models"], arguments, &["--cache", cache]].concat());
        command
            .env("MLFLOW_TRACKING_URI", self.services.mlflow())
            .env("MLFLOW_S3_ENDPOINT_URL", self.services.minio())
            .env("AWS_ACCESS_KEY_ID", self.services.access_key())
            .env("AWS_SECRET_ACCESS_KEY", self.services.secret_key())
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }

    fn models(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }
}

#[test]
fn models_in_mlflow_are_listed_pulled_verified_promoted_and_rolled_back() {
    let name = "by_command";
    let registry = Registry { services: Services::shared(), cache: tempfile::tempdir().expect("a folder") };
    let registrar = registry.services.registrar();
    for (version, store) in [(1, Store::Proxied), (2, Store::Direct), (3, Store::Proxied)] {
        let folder = source("curve_forecaster").join(version.to_string());
        assert_eq!(registrar.log_onnx(name, &folder, store, None), version);
    }
    assert_eq!(registrar.log_sklearn("by_command_sklearn"), 1);
    // Nothing carries the tag: a model is found when it is named.
    let set = registry.models(&["alias", "set", name, "stable", "1"]);
    assert_ended(&set, 0, &["by_command: stable none -> 1"]);
    assert_ended(&registry.models(&["alias", "set", name, "canary", "2"]), 0, &["canary none -> 2"]);
    registrar.set_model_tag(name, "perch.serve", "true");
    let tagged = registry.models(&["list"]);
    assert!(tagged.stdout.contains("by_command "), "{tagged:?}");
    let text = registry.models(&["list", "--model", name]);
    assert_ended(&text, 0, &["by_command  1        stable  stable   -\n"]);

    // By name again: other tests have models with the tag, too.
    let pulled = registry.models(&["pull", "--model", name, "--output", "json"]);
    assert_ended(&pulled, 0, &["by_command 1: downloading", "by_command 2: downloaded in"]);
    let rows = parsed(&pulled);
    let (path, digest) = (rows[0]["path"].as_str().expect("a path"), rows[0]["digest"].as_str().expect("a digest"));
    assert_ended(&perch(&["models", "digest", path]), 0, &[digest]);
    let again = registry.models(&["pull", "--model", name]);
    assert_ended(&again, 0, &[path]);
    assert!(!again.stderr.contains("downloading"), "{again:?}");
    registrar.set_version_tag(name, 1, "perch.sha256", digest);
    registrar.set_version_tag(name, 2, "perch.state", "failed");
    registrar.set_version_tag(name, 2, "perch.error", "no memory");
    let listed = parsed(&registry.models(&["list", "--model", name, "--output", "json"]));
    assert_eq!((&listed[0]["digest"], &listed[0]["cached"]), (&json!(digest), &json!(true)));
    assert_eq!((&listed[1]["state"], &listed[1]["stateError"]), (&json!("failed"), &json!("no memory")));
    assert_eq!((&listed[2]["digest"], &listed[2]["cached"]), (&Value::Null, &json!(false)));
    let verified = registry.models(&["verify", "--model", name]);
    assert_ended(&verified, 0, &["by_command  1        stable", "by_command  2        canary", "ready, inline"]);
    assert!(!verified.stdout.contains("by_command  3"), "{verified:?}");
    assert_ended(&registry.models(&["verify", "--all", "--model", name]), 0, &["by_command  3        -"]);

    let promoted = registry.models(&["promote", "--model", name]);
    assert_ended(&promoted, 0, &["stable 1 -> 2", "canary is removed", "perch models rollback by_command"]);
    let moved = |aliases: &[(&str, u64)]| aliases.iter().map(|(alias, to)| ((*alias).to_owned(), *to)).collect();
    assert_eq!(registrar.get_aliases(name), moved(&[("previous", 1), ("stable", 2)]));
    assert_ended(&registry.models(&["rollback", name]), 0, &["stable 2 -> 1"]);
    assert_eq!(registrar.get_aliases(name), moved(&[("previous", 2), ("stable", 1)]));
    let staged = registry.models(&["promote", name, "--version", "3", "--stage", "Production"]);
    assert_ended(&staged, 0, &["stage Production none -> 3"]);
    assert_eq!(registrar.get_aliases(name), moved(&[("previous", 2), ("stable", 1)]), "a stage is not what serves");

    let nobody = registry.models(&["promote", "--model", "nobody", "--version", "1"]);
    assert_ended(&nobody, 1, &["no model \"nobody\"; others there: ", "by_command"]);
    let other = registry.models(&["pull", "--model", "by_command_sklearn", "--version", "1"]);
    assert_ended(&other, 1, &["serves the flavor onnx", "1 of 1 versions"]);
    let mut away = registry.command(&["list"]);
    assert_ended(&run(away.env("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")), 69, &["http://127.0.0.1:1", "refused"]);
}

#[test]
fn where_a_stage_serves_the_stage_is_moved() {
    let name = "by_stage";
    let registry = Registry { services: Services::shared(), cache: tempfile::tempdir().expect("a folder") };
    let registrar = registry.services.registrar();
    for version in 1..=2 {
        assert_eq!(registrar.log_folder(name, &source("external").join("1"), Store::Direct), version);
    }
    registrar.transition_stage(name, 1, "Production");
    registrar.transition_stage(name, 2, "Staging");
    let file = registry.cache.path().join("perch.yaml");
    fs::write(&file, "registry: {stable: {stage: Production}, canary: {stage: Staging}}\nmodels: [by_stage]\n")
        .expect("written");
    let config = ["--config", file.to_str().expect("UTF-8")];
    let models = |arguments: &[&str]| registry.models(&[arguments, &config].concat());
    let tracks = |ended: &Ended| tracks(ended).into_iter().map(|(_, track, _)| track).collect::<Vec<_>>();
    assert_eq!(tracks(&models(&["list", "--output", "json"])), ["stable", "canary"]);
    assert_ended(&models(&["list"]), 0, &["STAGE", "Production", "Staging"]);
    let promoted = models(&["promote", name]);
    assert_ended(&promoted, 0, &["by_stage: stage Production 1 -> 2", "perch models rollback by_stage --config"]);
    assert_eq!(registrar.get_aliases(name), [("previous".to_owned(), 1)].into());
    assert_eq!(tracks(&models(&["list", "--output", "json"])), [Value::Null, json!("stable")]);
    assert_ended(&models(&["rollback", name]), 0, &["by_stage: stage Production 2 -> 1"]);
    assert_eq!(registrar.get_aliases(name), [("previous".to_owned(), 2)].into());
    assert_eq!(tracks(&models(&["list", "--output", "json"])), [json!("stable"), Value::Null]);
}
