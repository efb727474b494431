//! The local registry under a running server: whatever happens to the folder, requests are answered.

use std::fs;
use std::time::{Duration, Instant};

use perch_testkit::load::{Load, Question};
use perch_testkit::metrics::Scrape;
use perch_testkit::models::root;
use perch_testkit::server::report;
use perch_testkit::{Models, TestServer, wait};
use serde_json::{Value, json};

const GOOD: &str = r#"{"instances": [[1, 1, 1, 1]]}"#;

/// Rows of the real example that have a number from each version, with what each answers.
pub fn questions(model: &str) -> Vec<Question> {
    let text = fs::read(root().join("examples/curve_forecaster/holdout.json")).expect("the example's holdout");
    let holdout: Value = serde_json::from_slice(&text).expect("JSON");
    let rows = holdout["features"].as_array().expect("rows");
    let question = |row: usize| {
        let body = format!("{{\"model\": \"{model}\", \"instances\": [{}]}}", rows[row]).replace("null", "NaN");
        let answer = |version: u64| (version.to_string(), json!([holdout["tbilrate"][version.to_string()][row]]));
        Question { body, answers: (1..=3).map(answer).collect() }
    };
    (0..rows.len()).map(question).collect()
}

fn scrape(server: &TestServer) -> Scrape {
    Scrape::parse(server.get("/metrics").text())
}

/// A server of one model, `name`, whose stable version 1 is the fixture `external`.
fn brittle(name: &str) -> TestServer {
    let models = Models::with(&[]);
    models.copy_version("external", 1, name, 1);
    models.set_alias(name, "stable", 1);
    TestServer::builder(models).ready()
}

fn serves(server: &TestServer, version: &str) -> bool {
    let reply = server.client().post(GOOD);
    assert_eq!(reply.ok()["predictions"], json!([10.5]));
    reply.header("x-perch-version") == Some(version)
}

/// Three seconds, or as many as `PERCH_SWAP_SECONDS` says, and until each version has served twice.
#[test]
fn no_request_fails_while_versions_are_swapped_under_load() {
    let seconds = std::env::var("PERCH_SWAP_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"));
    let server = TestServer::with(&["curve_forecaster"]);
    let load = Load::start(server.address(), 4, questions("curve_forecaster"));
    let (began, mut version) = (Instant::now(), 1);
    let mut swaps = 0;
    while began.elapsed() < Duration::from_secs(seconds) || swaps < 6 {
        version = version % 3 + 1;
        server.models.set_alias("curve_forecaster", "stable", version);
        server.wait_serving("curve_forecaster", "stable", version);
        swaps += 1;
        let count = load.count();
        wait::until_true("answers of this version", || load.count() > count + 20);
        std::thread::sleep(Duration::from_millis(300));
    }
    let tally = load.finish();
    assert_eq!(tally.failures, [] as [String; 0], "{swaps} swaps, {:?}", tally.answers);
    assert_eq!(tally.answers.len(), 3, "{swaps} swaps, {:?}", tally.answers);
}

#[test]
fn a_version_that_cannot_be_loaded_leaves_the_old_one_serving_until_a_good_one_comes() {
    let server = brittle("brittle");
    let whole = fs::read(root().join("tests/fixtures/models/external/1/model.onnx")).expect("a fixture");
    server.models.write("brittle/2/model.onnx", b"this is no model");
    server.models.write("brittle/3/model.onnx", &whole[..whole.len() / 2]);
    server.models.write("brittle/4/notes.txt", b"the model is forgotten");
    server.models.copy_version("unknown_op", 1, "brittle", 5);
    server.models.write("brittle/6/model.onnx", &whole);
    fs::create_dir(server.path().join("brittle/7")).expect("made");
    let reasons = [
        ("2", "not a usable ONNX graph"),
        ("3", "not a usable ONNX graph"),
        ("4", "holds no model.onnx"),
        ("5", "Frobnicate"),
        ("6", "weights.bin"),
        ("7", "holds no model.onnx"),
        ("8", "version 8 is not in the registry"),
    ];
    for (version, reason) in reasons {
        server.models.set_alias("brittle", "stable", version.parse().expect("a number"));
        let model = server.wait_model("brittle", &format!("version {version} fails"), |model| {
            report(model, version).is_some_and(|report| report["state"] == "failed")
        });
        let error = report(&model, version).and_then(|report| report["error"].as_str()).expect("a reason");
        assert!(error.contains(reason), "version {version}: {error}");
        assert_eq!(report(&model, "1").map(|report| &report["state"]), Some(&json!("ready")), "{model}");
        assert!(serves(&server, "1"), "version 1 goes on");
        assert_eq!(server.get("/health/ready").status, 200);
        if version != "8" {
            let labels = [("model", "brittle"), ("version", version), ("state", "failed")];
            let failed = scrape(&server).sum("perch_model_state", &labels);
            assert_eq!(failed.to_bits(), 1.0_f64.to_bits(), "version {version}");
        }
    }
    let failed = scrape(&server).sum("perch_model_loads_total", &[("model", "brittle"), ("result", "failed")]);
    assert!(failed >= 6.0, "{failed} failed loads are counted");

    // Mended in place, and another one beside it.
    server.models.write("brittle/2/model.onnx", &whole);
    let weights = fs::read(root().join("tests/fixtures/models/external/1/weights.bin")).expect("a fixture");
    server.models.write("brittle/2/weights.bin", &weights);
    server.models.set_alias("brittle", "stable", 2);
    wait::until_true("the mended version", || serves(&server, "2"));
    server.models.copy_version("external", 1, "brittle", 9);
    server.models.set_alias("brittle", "stable", 9);
    wait::until_true("a new good version", || serves(&server, "9"));
    let metrics = scrape(&server);
    for (version, state, expected) in [("9", "ready", 1.0_f64), ("9", "failed", 0.0), ("2", "unloaded", 1.0)] {
        let labels = [("model", "brittle"), ("version", version), ("state", state)];
        let got = metrics.sum("perch_model_state", &labels);
        assert_eq!(got.to_bits(), expected.to_bits(), "version {version}: {state} is {got}");
    }
}

#[test]
fn a_version_that_is_deleted_goes_on_serving() {
    let server = brittle("deleted");
    server.models.remove("deleted/1");
    let model = server.wait_model("deleted", "told", |model| model["versions"][0]["error"].is_string());
    let expected = "version 1 is not in the registry, still serving it";
    assert_eq!((&model["versions"][0]["state"], &model["versions"][0]["error"]), (&json!("ready"), &json!(expected)));
    assert!(serves(&server, "1"));
    assert_eq!(server.get("/health/ready").status, 200);
    // It comes back as it was: nothing has to be loaded.
    server.models.copy_version("external", 1, "deleted", 1);
    server.wait_model("deleted", "well again", |model| model["versions"][0].get("error").is_none());
    assert!(serves(&server, "1"));
}

#[test]
fn a_version_whose_files_change_is_loaded_again() {
    let models = Models::with(&[]);
    models.copy_version("curve_forecaster", 1, "changing", 1);
    let server = TestServer::builder(models).ready();
    let before = server.model("changing")["versions"][0]["digest"].clone();
    let other = fs::read(root().join("examples/models/curve_forecaster/2/model.onnx")).expect("an example");
    server.models.write("changing/1/model.onnx", &other);
    server.wait_model("changing", "another digest", |model| {
        let version = &model["versions"][0];
        version["state"] == "ready" && version["digest"].is_string() && version["digest"] != before
    });
    let mut question = questions("changing").remove(0);
    let second = question.answers["2"].clone();
    question.answers.insert("1".into(), second);
    assert_eq!(question.check(&server.client().post(&question.body)), Ok("1".into()), "the new files answer");
}

#[test]
fn broken_aliases_leave_the_last_good_ones_in_force() {
    let server = brittle("aliased");
    server.models.copy_version("external", 1, "aliased", 2);
    for broken in ["{\"stable\": 2", "[]", "{\"stable\": \"2\"}", "{\"stable\": 0}", "\u{0}"] {
        server.models.write("aliased/aliases.json", broken.as_bytes());
        let model = server.wait_model("aliased", "told", |model| model["error"].is_string());
        assert!(model["error"].as_str().is_some_and(|error| error.contains("aliases.json")), "{model}");
        assert!(serves(&server, "1"), "{broken}");
        server.models.write("aliased/aliases.json", br#"{"stable": 1}"#);
        server.wait_model("aliased", "well again", |model| model.get("error").is_none());
    }
    server.models.write("aliased/aliases.json", br#"{"stable": 2}"#);
    wait::until_true("the mended alias", || serves(&server, "2"));
}

#[test]
fn without_aliases_the_highest_version_that_loads_serves() {
    let models = Models::with(&[]);
    models.copy_version("external", 1, "highest", 1);
    models.copy_version("external", 1, "highest", 2);
    models.copy_version("unknown_op", 1, "highest", 10);
    let server = TestServer::builder(models).ready();
    wait::until_true("version 2", || serves(&server, "2"));
    let model = server.model("highest");
    assert_eq!(report(&model, "10").map(|report| &report["state"]), Some(&json!("failed")), "{model}");
    server.models.copy_version("external", 1, "highest", 11);
    wait::until_true("version 11", || serves(&server, "11"));
    server.models.set_alias("highest", "stable", 1);
    wait::until_true("an alias decides as soon as there is one", || serves(&server, "1"));
}

#[test]
fn a_canary_is_loaded_and_told_and_gets_no_traffic_until_its_policy_says_so() {
    let policy = "registry: {rollout: {strategy: {canary: {steps: [{pause: {}}, {setWeight: 10}]}}}}";
    let server = TestServer::builder(Models::with(&["curve_forecaster"])).yaml(policy).ready();
    server.models.set_alias("curve_forecaster", "canary", 2);
    server.wait_serving("curve_forecaster", "canary", 2);
    let load = Load::start(server.address(), 2, questions("curve_forecaster"));
    wait::until_true("traffic", || load.count() > 200);
    let tally = load.finish();
    assert_eq!((tally.failures.as_slice(), tally.answers.len()), ([].as_slice(), 1), "{tally:?}");
    assert!(tally.answers.contains_key("1"), "{tally:?}");
    // Promoted: it serves at once, since it is loaded, and is no canary any more.
    server.models.set_alias("curve_forecaster", "stable", 2);
    server.wait_serving("curve_forecaster", "stable", 2);
    server.models.delete_alias("curve_forecaster", "canary");
    server.wait_model("curve_forecaster", "no canary", |model| {
        model["versions"].as_array().is_some_and(|versions| versions.len() == 1)
    });
    let question = &questions("curve_forecaster")[0];
    assert_eq!(question.check(&server.client().post(&question.body)), Ok("2".into()));
}

#[test]
fn a_canary_that_fails_does_not_touch_stable() {
    let server = brittle("tried");
    server.models.copy_version("unknown_op", 1, "tried", 2);
    server.models.set_alias("tried", "canary", 2);
    let model = server.wait_model("tried", "taken out", |model| {
        report(model, "2").is_some_and(|report| report["state"] == "quarantined" && report["track"] == "canary")
    });
    let rollout = &model["rollout"];
    assert!(rollout["reason"].as_str().is_some_and(|reason| reason.contains("Frobnicate")), "{rollout}");
    assert_eq!(model["ready"], true);
    assert!(serves(&server, "1"));
}

#[test]
fn models_come_while_others_serve() {
    let server = TestServer::with(&["external"]);
    let rows = json!([[5.1, 3.5, 1.4, 0.2]]);
    assert_eq!(server.predict(&json!({"model": "iris", "instances": rows})).error(404).0, "model_not_found");
    server.models.copy("iris");
    server.wait_serving("iris", "stable", 1);
    let answer = server.predict(&json!({"model": "iris", "instances": rows})).ok();
    assert_eq!(answer["predictions"][0]["output_label"], 0);
    let (code, message) = server.client().post(GOOD).error(400);
    assert_eq!(code, "invalid_input");
    assert!(message.contains("external, iris"), "several now: {message}");
}

#[test]
fn a_registry_that_vanishes_takes_nothing_with_it() {
    let server = brittle("kept");
    let elsewhere = server.path().with_extension("elsewhere");
    fs::rename(server.path(), &elsewhere).expect("renamed");
    wait::until_true("told", || server.get("/health/all").ok()["registry"]["state"] == "unreachable");
    let registry = server.get("/health/all").ok()["registry"].clone();
    assert!(registry["error"].is_string() && registry["lastSuccess"].is_string(), "{registry}");
    assert!(serves(&server, "1"));
    assert_eq!(server.get("/health/ready").status, 200);
    fs::rename(&elsewhere, server.path()).expect("renamed back");
    wait::until_true("well again", || server.get("/health/all").ok()["registry"]["state"] == "ready");
    server.models.copy_version("external", 1, "kept", 2);
    server.models.set_alias("kept", "stable", 2);
    wait::until_true("it follows again", || serves(&server, "2"));
}
