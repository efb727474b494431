//! States that last: a process that is killed in one of them is followed by one in the same.

use std::fs;
use std::time::Instant;

use perch_testkit::{Client, PerchProcess, wait};
use serde_json::json;

use super::traffic::{Traffic, assert_all};
use super::{Admin, FLUSHED, MODEL, Site, policy, sorted_questions, traffic};

/// Kills it, and starts the next one, which says the same.
fn kill(site: &Site, perch: PerchProcess) -> PerchProcess {
    let before = Admin::of(&perch).view();
    perch.kill();
    let perch = site.ready();
    let after = Admin::of(&perch).wait("a view", |view| view["store"]["state"] == "ready");
    for key in
        ["generation", "state", "step", "weight", "rollout", "pausedBy", "reason", "quarantine", "stable", "canary"]
    {
        assert_eq!(before[key], after[key], "{key}");
    }
    perch
}

/// The same under load.
fn kill_loaded(site: &Site, perch: PerchProcess, load: Traffic) -> (PerchProcess, Traffic) {
    let killed = Instant::now();
    let perch = kill(site, perch);
    load.abandon(killed);
    let load = traffic(&perch);
    (perch, load)
}

/// A state that an operator brought about, and one that a step did.
#[test]
fn pauses_weights_and_quarantine_outlive_a_kill() {
    let site = Site::new(&policy("[{setWeight: 10}, {pause: {}}, {setWeight: 50}, {pause: {duration: 1h}}]"));
    site.models.set_alias(MODEL, "canary", 3);
    let mut perch = site.ready();
    let mut load = traffic(&perch);
    let view = Admin::of(&perch).wait_state("paused");
    assert_eq!((&view["pausedBy"], &view["weight"]), (&json!("step"), &json!(10.0)));
    (perch, load) = kill_loaded(&site, perch, load);
    let executions = |perch: &PerchProcess| Admin::of(perch).view()["metrics"][0]["n"].as_u64().unwrap_or(0);
    let before = executions(&perch);
    wait::until_true("executions go on", || executions(&perch) > before + 10);
    Admin::of(&perch).say("resume");
    Admin::of(&perch).wait("50 %", |view| view["weight"] == json!(50.0));
    assert_eq!(Admin::of(&perch).post("weight", &json!({"weight": 12.5})).ok()["pausedBy"], "operator");
    (perch, load) = kill_loaded(&site, perch, load);
    assert_eq!(Admin::of(&perch).view()["weight"], json!(12.5));
    Admin::of(&perch).say("resume");
    let elapsed = |perch: &PerchProcess| Admin::of(perch).view()["stepElapsed"].as_f64().unwrap_or(0.0);
    wait::until_true("the clock goes", || elapsed(&perch) > 2.0);
    let clock = elapsed(&perch);
    wait::pass(FLUSHED);
    (perch, load) = kill_loaded(&site, perch, load);
    let later = elapsed(&perch);
    assert!(later >= clock, "{later} after {clock}");
    wait::until_true("the clock goes on", || elapsed(&perch) > later + 1.0);
    load.poison(true);
    Admin::of(&perch).wait_state("demoted");
    (perch, load) = kill_loaded(&site, perch, load);
    assert_eq!(Admin::of(&perch).view()["quarantine"].as_array().map(Vec::len), Some(1));
    assert_eq!(Admin::of(&perch).post("retry", &json!({"force": true})).ok()["state"], "progressing");
    load.poison(false);
    Admin::of(&perch).say("abort");
    (perch, load) = kill_loaded(&site, perch, load);
    assert_eq!(perch.get("/health/ready").status, 200);
    load.end();
}

/// Both versions answer part of the rows with NaN: an outage for whoever asks for those.
#[test]
fn a_suspension_outlives_a_kill() {
    let site = Site::new(&policy("[{setWeight: 50}, {pause: {}}]"));
    let mut graph = fs::read(site.models.path().join(MODEL).join("3/model.onnx")).expect("the example");
    // The name of its producer: other bytes of the same graph.
    graph.extend(b"\x12\x05again");
    site.models.write(&format!("{MODEL}/4/model.onnx"), &graph);
    site.models.set_alias(MODEL, "stable", 3);
    site.models.set_alias(MODEL, "canary", 4);
    let perch = site.ready();
    Admin::of(&perch).wait("50 %", |view| view["weight"] == json!(50.0));
    let (_, bad) = sorted_questions();
    let mut client = Client::new(perch.address());
    wait::until_true("a suspension", || {
        for question in &bad {
            client.post(question.body.as_bytes());
        }
        Admin::of(&perch).view()["state"] == "suspended"
    });
    let perch = kill(&site, perch);
    let view = Admin::of(&perch).view();
    assert_eq!((&view["state"], &view["weight"], &view["quarantine"]), (&json!("suspended"), &json!(0.0), &json!([])));
    let load = traffic(&perch);
    assert_all(&load.next(50), "3", "stable");
    Admin::of(&perch).say("resume");
    Admin::of(&perch).wait("50 % again", |view| view["weight"] == json!(50.0));
    wait::until_true("a canary at work", || load.next(20).iter().any(|answer| answer.version == "4"));
    load.end();
}

/// A tenth of the rows may fail: 29 clean executions show that they do not.
#[test]
fn an_inconclusive_gate_outlives_a_kill_with_what_it_has_heard() {
    // Long enough for all that is asked here to be heard, whatever the machine does meanwhile.
    let gate = "{gate: {metrics: [errors], confidence: 0.95, maxExtend: 8s}}";
    let site = Site::new(&policy(&format!("[{{setWeight: 50}}, {gate}, {{setWeight: 60}}, {{pause: {{}}}}]")));
    site.models.set_alias(MODEL, "canary", 2);
    let perch = site.ready();
    Admin::of(&perch).wait("the gate", |view| view["step"] == json!(2));
    let (good, _) = sorted_questions();
    let ask = |perch: &PerchProcess, requests: usize| {
        let mut client = Client::new(perch.address());
        for question in good.iter().cycle().take(requests) {
            question.check(&client.post(question.body.as_bytes())).expect("an answer");
        }
    };
    ask(&perch, 40);
    let view = Admin::of(&perch).wait_state("paused");
    assert_eq!(view["pausedBy"], "inconclusive", "{view}");
    let heard = Admin::of(&perch).view()["gate"]["metrics"][0]["n"].clone();
    assert!((18..=22).contains(&heard.as_u64().unwrap_or(0)), "{heard} of 40 at 50 %");
    wait::pass(FLUSHED);
    let perch = kill(&site, perch);
    assert_eq!(Admin::of(&perch).view()["gate"]["metrics"][0]["n"], heard);
    Admin::of(&perch).wait("the canary is loaded again", |view| view["ready"] == json!(true));
    Admin::of(&perch).say("resume");
    // Enough with what was heard before, and not without.
    ask(&perch, 40);
    let view = Admin::of(&perch).wait_state("paused");
    assert_eq!((&view["weight"], &view["pausedBy"]), (&json!(60.0), &json!("step")), "{view}");
}
