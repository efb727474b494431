//! The commands beside `serve`: results on stdout, messages on stderr, exit codes.

use perch_testkit::process::{Ended, command, run};
use perch_testkit::{Models, TestServer};
use serde_json::{Value, json};

use crate::PERCH;

pub fn perch(arguments: &[&str]) -> Ended {
    run(&mut command(PERCH, arguments))
}

/// Runs `perch models …` over a folder.
pub fn models(folder: &Models, action: &[&str], arguments: &[&str]) -> Ended {
    let folder = ["--models", folder.path().to_str().expect("UTF-8")];
    perch(&[&["models"], action, &folder, arguments].concat())
}

pub fn parsed(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).map_err(|error| format!("{error}: {ended:?}")).expect("JSON")
}

#[track_caller]
pub fn assert_ended(ended: &Ended, code: i32, pieces: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for piece in pieces {
        assert!(ended.stdout.contains(piece) || ended.stderr.contains(piece), "{piece:?} is not in {ended:?}");
    }
}

#[test]
fn a_configuration_is_checked() {
    let folder = Models::with(&[]);
    folder.write("good.yaml", b"registry: {path: models}\nserver: {maxBody: 1MiB}\n");
    folder.write("bad.yaml", b"registry: {path: models}\nserver: {maxBodi: 1MiB, requestTimeout: 5}\n");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let good = perch(&["config", "check", "--config", &path("good.yaml")]);
    assert_ended(&good, 0, &["right"]);
    let bad = perch(&["config", "check", "--config", &path("bad.yaml")]);
    assert_ended(&bad, 64, &["server.maxBodi", "maxBody", "server.requestTimeout", "bad.yaml:2"]);
    assert_eq!(bad.stdout, "");
    assert_ended(&perch(&["config", "check", "--config", &path("none.yaml")]), 64, &["none.yaml"]);
    assert_ended(&perch(&["config", "check"]), 64, &["registry.path"]);
}

#[test]
fn a_configuration_is_printed_with_the_source_of_each_value() {
    let folder = Models::with(&[]);
    folder.write("perch.yaml", b"registry: {path: models}\nserver: {maxBody: 1MiB, requestTimeout: 5s}\n");
    let file = folder.path().join("perch.yaml");
    let arguments = ["config", "print", "--config", file.to_str().expect("UTF-8"), "--listen", "127.0.0.1:9999"];
    let variable = |command: &mut std::process::Command| {
        command.env("PERCH__SERVER__REQUEST_TIMEOUT", "7s");
    };
    let mut text = command(PERCH, &arguments);
    variable(&mut text);
    let text = run(&mut text);
    let pieces = ["maxBody: 1MiB", "perch.yaml:2", "requestTimeout: 7s", "PERCH__SERVER__REQUEST_TIMEOUT", "--listen"];
    assert_ended(&text, 0, &pieces);
    let mut as_json = command(PERCH, &[arguments.as_slice(), &["--output", "json"]].concat());
    variable(&mut as_json);
    let printed = parsed(&run(&mut as_json));
    assert_eq!(printed["server"]["listen"], json!({"value": "127.0.0.1:9999", "source": "--listen"}));
    assert_eq!(printed["server"]["requestTimeout"]["source"], "PERCH__SERVER__REQUEST_TIMEOUT");
    // What was printed is a configuration.
    folder.write("again.yaml", text.stdout.as_bytes());
    let again = folder.path().join("again.yaml");
    assert_ended(&perch(&["config", "check", "--config", again.to_str().expect("UTF-8")]), 0, &[]);
}

#[test]
fn policies_are_checked_and_printed_with_the_configuration() {
    let folder = Models::with(&[]);
    let config = b"registry: {path: models}\nmodels:\n- {name: curve, rollout: rollouts/curve.yaml}\n- other\n";
    folder.write("perch.yaml", config);
    let policy = |limit: &str| {
        let text = format!(
            "analysis:\n  metrics:\n    - {{name: errors, type: error-rate, max: {limit}}}\nstrategy:\n  canary:\n    steps:\n      \
             - setWeight: 20\nnotifications:\n- {{type: slack, urlFrom: {{env: HOOK}}}}\n"
        );
        folder.write("rollouts/curve.yaml", text.as_bytes());
    };
    let file = folder.path().join("perch.yaml").display().to_string();
    let with_hook = |arguments: &[&str]| {
        let mut command = command(PERCH, &[arguments, &["--config", &file]].concat());
        run(command.env("HOOK", "https://hooks.example.com/hunter2"))
    };
    policy("0.5");
    let place = format!("{}/rollouts/curve.yaml:3:40: analysis.metrics[0].max: expected", folder.path().display());
    assert_ended(&with_hook(&["config", "check"]), 64, &[&place, "at most 0.4, got 0.5"]);
    policy("0.02");
    assert_ended(
        &perch(&["config", "check", "--config", &file]),
        64,
        &["curve.yaml:9:27: notifications[0].urlFrom.env", "HOOK"],
    );
    assert_ended(&with_hook(&["config", "check"]), 0, &["right"]);
    let printed = with_hook(&["config", "print", "--rollout", "four-steps"]);
    assert_ended(&printed, 0, &["setWeight: 20", "curve.yaml:7", "setWeight: 25", "--rollout", "env: HOOK"]);
    assert!(!printed.stdout.contains("hunter2"), "{printed:?}");
    folder.write("again.yaml", printed.stdout.as_bytes());
    let again = folder.path().join("again.yaml").display().to_string();
    let mut reprint = command(PERCH, &["config", "print", "--config", &again]);
    let reprint = run(reprint.env("HOOK", "https://hooks.example.com/hunter2"));
    let values =
        |text: &str| text.lines().map(|l| l.split(" # ").next().unwrap_or(l).trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&reprint.stdout), values(&printed.stdout));
    let unknown = with_hook(&["config", "check", "--rollout", "five-steps"]);
    assert_ended(
        &unknown,
        64,
        &["registry.rollout (--rollout): expected a preset (phased, four-steps) or a policy file"],
    );
}

#[test]
fn rollouts_need_a_place_to_be_remembered_and_other_commands_do_not() {
    let folder = Models::with(&["external"]);
    let models = folder.path().to_str().expect("UTF-8");
    let homeless = |arguments: &[&str]| {
        run(command(PERCH, &[arguments, &["--models", models]].concat()).env_remove("XDG_STATE_HOME"))
    };
    assert_ended(&homeless(&["config", "check"]), 64, &["state: expected a file as sqlite:///", "--state"]);
    assert_ended(&homeless(&["config", "check", "--state", "sqlite:state.db"]), 0, &[]);
    assert_ended(
        &homeless(&["config", "check", "--state", "postgres://u:hunter2@h/d?schema=No"]),
        64,
        &["state (--state): parameter \"schema\" of the address is \"No\""],
    );
    assert_ended(&homeless(&["config", "check", "--state", "postgres://u:hunter2@h/d"]), 0, &[]);
    assert_ended(&homeless(&["models", "list"]), 0, &["external"]);
}

#[test]
fn models_are_listed_with_versions_aliases_and_digests() {
    let folder = Models::with(&["curve_forecaster", "external"]);
    let text = models(&folder, &["list"], &[]);
    assert_ended(&text, 0, &["MODEL", "curve_forecaster", "external", "stable", "sha256:"]);
    let listed = parsed(&models(&folder, &["list"], &["--output", "json"]));
    let rows: Vec<(Value, Value, Value)> = listed
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["model"].clone(), row["version"].clone(), row["aliases"].clone()))
        .collect();
    let row = |model: &str, version: &str, aliases: Value| (json!(model), json!(version), aliases);
    let expected = [
        row("curve_forecaster", "1", json!(["stable"])),
        row("curve_forecaster", "2", json!([])),
        row("curve_forecaster", "3", json!([])),
        row("external", "1", json!([])),
    ];
    assert_eq!(rows, expected);
    let version = folder.path().join("external/1");
    let digest = perch(&["models", "digest", version.to_str().expect("UTF-8")]);
    assert_ended(&digest, 0, &[]);
    assert_eq!(listed[3]["digest"], digest.stdout.trim());
    assert_ended(&perch(&["models", "digest", "/nowhere"]), 1, &["/nowhere"]);
    assert_ended(&perch(&["models", "list", "--models", "/nowhere"]), 69, &["/nowhere"]);
}

#[test]
fn the_digest_is_of_what_is_loaded_and_of_nothing_else() {
    let folder = Models::with(&["external"]);
    let version = folder.path().join("external/1");
    let digest = || perch(&["models", "digest", version.to_str().expect("UTF-8")]).stdout;
    let before = digest();
    folder.write("external/1/MLmodel", b"run_id: 7\nflavors: {onnx: {data: model.onnx}}");
    folder.write("external/1/input_example.json", b"{}");
    assert_eq!(digest(), before);
    folder.write("external/1/weights.bin", &[0; 20]);
    assert_ne!(digest(), before);
}

#[test]
fn models_are_verified_and_what_is_wrong_is_told() {
    let folder = Models::with(&["external", "heavy"]);
    let good = models(&folder, &["verify"], &[]);
    assert_ended(&good, 0, &["external", "ready, inline", "ready, worker"]);
    folder.copy("unknown_op");
    let bad = models(&folder, &["verify"], &["--output", "json"]);
    assert_ended(&bad, 1, &["1 of 3 versions cannot be served"]);
    let rows = parsed(&bad);
    let unknown = rows.as_array().and_then(|rows| rows.iter().find(|row| row["model"] == "unknown_op"));
    let error = unknown.and_then(|row| row["error"].as_str()).expect("a reason");
    assert!(error.contains("Frobnicate"), "{error}");
    assert_ended(&models(&folder, &["verify"], &["--model", "external"]), 0, &["external"]);
}

#[test]
fn aliases_are_set_and_deleted_and_a_server_follows() {
    let server = TestServer::with(&["curve_forecaster"]);
    let folder = &server.models;
    assert_ended(&models(folder, &["alias", "set"], &["curve_forecaster", "stable", "3"]), 0, &[]);
    server.wait_serving("curve_forecaster", "stable", 3);
    assert_ended(&models(folder, &["alias", "set"], &["curve_forecaster", "canary", "2"]), 0, &[]);
    server.wait_serving("curve_forecaster", "canary", 2);
    assert_ended(&models(folder, &["alias", "delete"], &["curve_forecaster", "canary"]), 0, &[]);
    server.wait_model("curve_forecaster", "no canary", |model| {
        model["versions"].as_array().is_some_and(|versions| versions.len() == 1)
    });
    let unknown = models(folder, &["alias", "set"], &["curve_forecaster", "stable", "9"]);
    assert_ended(&unknown, 1, &["version 9", "1, 2, 3"]);
    assert_ended(&models(folder, &["alias", "set"], &["nobody", "stable", "1"]), 1, &["nobody", "curve_forecaster"]);
    assert_ended(&models(folder, &["alias", "delete"], &["nobody", "stable"]), 1, &["nobody"]);
    assert_ended(&models(folder, &["alias", "set"], &["curve_forecaster", "stable", "first"]), 64, &["first"]);
}

#[test]
fn a_health_check_is_an_exit_code() {
    let server = TestServer::with(&["external"]);
    let url = format!("http://{}", server.address());
    assert_ended(&perch(&["healthcheck", "--server", &url]), 0, &["ready"]);
    assert_ended(&perch(&["healthcheck", "--server", &url, "--probe", "live"]), 0, &["live"]);
    let mut by_variable = command(PERCH, &["healthcheck"]);
    assert_ended(&run(by_variable.env("PERCH_SERVER", &url)), 0, &["ready"]);
    let empty = TestServer::builder(Models::with(&[])).start();
    let url = format!("http://{}", empty.address());
    assert_ended(&perch(&["healthcheck", "--server", &url]), 1, &["503", "not_ready"]);
    assert!(empty.stop());
    assert_ended(&perch(&["healthcheck", "--server", &url]), 1, &["127.0.0.1"]);
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    assert_ended(&perch(&[]), 64, &["Usage"]);
    assert_ended(&perch(&["nonsense"]), 64, &["nonsense"]);
    assert_ended(&perch(&["serve", "--no-such-flag"]), 64, &["--no-such-flag"]);
    assert_ended(&perch(&["--help"]), 0, &["serve", "models", "config", "healthcheck"]);
    assert_ended(&perch(&["--version"]), 0, &[env!("CARGO_PKG_VERSION")]);
}
