//! Canaries that cannot be loaded or fail their smoke tests; all traffic at once.

use std::fs;

use perch_testkit::models::root;
use perch_testkit::wait;
use serde_json::{Value, json};

use super::traffic::assert_all;
use super::{Admin, MODEL, Site, policy, traffic};

/// Long enough to be seen watching, and promoted, whatever the machine does meanwhile.
fn blue_green(keys: &str) -> String {
    format!(
        "analysis: {{metrics: [{{name: errors, type: error-rate, max: 0.1}}]}}\nstrategy:\n  blueGreen: {{watch: 8s, scaleDownDelay: 8s{keys}}}\n"
    )
}

/// The example's smoke tests, which version 2 passes and version 1 does not.
fn smoke_tests() -> String {
    root().join("examples/curve_forecaster/smoke_tests.jsonl").display().to_string()
}

#[test]
fn a_canary_that_cannot_be_loaded_is_unfit() {
    let site = Site::new(&policy("[{setWeight: 30}, {pause: {}}]"));
    let whole = fs::read(site.models.path().join(MODEL).join("3/model.onnx")).expect("the example");
    site.models.write(&format!("{MODEL}/4/model.onnx"), &whole[..whole.len() / 2]);
    site.models.set_alias(MODEL, "canary", 4);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    let view = admin.wait_state("demoted");
    assert_eq!((&view["canary"]["version"], &view["weight"]), (&json!("4"), &json!(0.0)), "{view}");
    assert!(view["reason"].as_str().is_some_and(|reason| reason.contains("ONNX")), "{view}");
    let tags = wait::until("tags", || Some(site.tags("4")).filter(|tags| tags["perch.rollout.at"].is_string()));
    assert_eq!(tags["perch.rollout.state"], "demoted", "{tags}");
    assert_all(&load.next(50), "1", "stable");
    site.models.write(&format!("{MODEL}/4/model.onnx"), &whole);
    admin.wait("the mended version is tried", |view| view["state"] == "paused" && view["weight"] == json!(30.0));
    load.end();
}

#[test]
fn smoke_tests_come_before_the_first_request() {
    let site = Site::new(&blue_green(&format!(", smokeTests: {{file: \"{}\"}}", smoke_tests())));
    site.models.set_alias(MODEL, "stable", 2);
    site.models.set_alias(MODEL, "canary", 1);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    let view = admin.wait_state("demoted");
    assert!(view["reason"].as_str().is_some_and(|reason| reason.starts_with("smoke tests: ")), "{view}");
    load.next(50);
    assert_all(&load.end(), "2", "stable");
}

#[test]
fn all_traffic_at_once_is_watched_and_promoted() {
    let site = Site::new(&blue_green(&format!(", smokeTests: {{file: \"{}\"}}", smoke_tests())));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 2);
    let view = admin.wait("100 %", |view| view["weight"] == json!(100.0));
    assert_eq!((&view["state"], &view["strategy"]), (&json!("progressing"), &json!("blueGreen")), "{view}");
    assert_all(&load.next(20), "2", "canary");
    assert_eq!(site.aliases(), json!({"canary": 2, "stable": 1}), "it is watched first");
    admin.wait_state("promoted");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    admin.wait_state("idle");
    perch.health().wait_serving(MODEL, "stable", 2);
    load.end();
}

#[test]
fn all_traffic_at_once_waits_to_be_told_where_the_policy_says_so() {
    let site = Site::new(&blue_green(", autoPromote: false"));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 2);
    let view = admin.wait_state("paused");
    assert_eq!((&view["weight"], &view["pausedBy"], &view["ready"]), (&json!(0.0), &json!("step"), &Value::Bool(true)));
    assert_all(&load.next(50), "1", "stable");
    assert_eq!(admin.say("resume")["weight"], json!(100.0));
    assert_all(&load.next(20), "2", "canary");
    admin.wait_state("promoted");
    load.end();
}

#[test]
fn a_bad_version_is_taken_out_while_it_is_watched() {
    let site = Site::new(&blue_green(""));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 3);
    admin.wait("100 %", |view| view["weight"] == json!(100.0));
    load.poison(true);
    admin.wait_state("demoted");
    assert_all(&load.next(50), "1", "stable");
    assert_eq!(site.aliases()["stable"], json!(1));
    load.end();
}
