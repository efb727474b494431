//! The other judges, and metrics that are shown only.

use perch_testkit::Rollout;
use perch_testkit::fake::Act;
use perch_testkit::load::Load;
use serde_json::json;

use super::{ALL, HALF, Trial, ask, assert_doubled, body, questions, three_of_ten};

#[test]
fn the_threshold_judge_demotes_by_the_share_in_its_window() {
    let policy = "analysis: {judge: threshold, window: 1h, minRequests: 20, \
                  metrics: [{name: errors, type: error-rate, max: 0.1}]}";
    let trial = Trial::start("window", &[policy, ALL]);
    trial.script.behave(2, |rows| if rows[0] < 0.0 { Act::Fail } else { Act::Answer });
    let mut client = trial.server.client();
    for row in [-1.0; 10].into_iter().chain([1.0; 9]) {
        assert_doubled(&ask(&mut client, row), row);
    }
    let (view, metric) = trial.counted("errors", 19);
    assert_eq!((&view["state"], &metric["bad"], &metric["status"]), (&json!("paused"), &json!(10), &json!("ok")));
    assert_eq!((&metric["evidence"], &metric["enough"]), (&json!(19.0), &json!(20.0)), "rows, and the least");
    assert_doubled(&ask(&mut client, 1.0), 1.0);
    let view = trial.rollout.wait_state("demoted");
    assert_eq!(view["reason"], "errors: 0.5 is above 0.1");
}

#[test]
fn the_threshold_judge_leaves_a_share_below_its_limit_alone() {
    let policy = "analysis: {judge: threshold, minRequests: 20, \
                  metrics: [{name: errors, type: error-rate, max: 0.4}]}";
    let trial = Trial::start("window-ok", &[policy, ALL]);
    trial.script.behave(2, |rows| if three_of_ten(rows) { Act::Fail } else { Act::Answer });
    let mut client = trial.server.client();
    // The good ones first: at no time is the share above.
    for row in (0_u8..100).rev() {
        assert_doubled(&ask(&mut client, row.into()), row.into());
    }
    let (view, metric) = trial.counted("errors", 100);
    assert_eq!((&view["state"], &metric["bad"], &metric["value"]), (&json!("paused"), &json!(30), &json!(0.3)));
}

#[test]
fn a_metric_for_show_demotes_nothing() {
    let policy = "analysis: {metrics: [{name: errors, type: error-rate, max: 0.01, dryRun: true}, \
                  {name: latency, type: latency, quantile: p95, max: 8s}]}";
    let trial = Trial::start("dry", &[policy, ALL]);
    trial.script.behave(2, |_| Act::Fail);
    let mut client = trial.server.client();
    for _ in 0..30 {
        assert_doubled(&ask(&mut client, 1.0), 1.0);
    }
    let (view, metric) = trial.counted("errors", 30);
    assert_eq!((&view["state"], &view["weight"]), (&json!("paused"), &json!(100.0)), "{view}");
    assert_eq!((&metric["status"], &metric["dryRun"], &metric["bad"]), (&json!("shown"), &json!(true), &json!(30)));
    assert!(metric["evidence"].as_f64() > metric["enough"].as_f64(), "it would have: {metric}");
}

#[test]
fn a_comparison_with_stable_is_only_shown_where_keys_divide_the_requests() {
    let routing = "routing: {split: hash, hashKey: {header: X-User-Id}}";
    let policy = "analysis: {metrics: [{name: versus, type: error-rate, compareTo: stable, maxRatio: 1.5}]}";
    let trial = Trial::start("keys", &[routing, policy, HALF]);
    trial.script.behave(2, |_| Act::Fail);
    let mut client = trial.server.client();
    for user in 0..300 {
        let reply = client.request(
            "POST",
            "/predict",
            &[("x-user-id", &user.to_string())],
            body(&[1.0]).to_string().as_bytes(),
        );
        assert_doubled(&reply, 1.0);
    }
    let view = trial.rollout.wait("all counted", |view| {
        let [stable, canary] = ["stable", "canary"].map(|track| view["tracks"][track]["requests"].as_u64());
        stable.zip(canary).is_some_and(|(stable, canary)| stable + canary == 300)
    });
    let metric = Rollout::metric(&view, "versus");
    assert_eq!((&view["state"], &metric["status"]), (&json!("paused"), &json!("shown")), "{view}");
    assert_eq!(metric["bad"], view["tracks"]["canary"]["failed"], "{view}");
    assert!(metric["evidence"].as_f64() > Some(10.0), "{metric}");
}

const VERSUS: &str = "analysis: {metrics: [{name: versus, type: error-rate, compareTo: stable, maxRatio: 1.5}]}";

/// Beside a stable version that never fails: what is stored of it can be read again.
#[test]
fn a_canary_that_fails_beside_a_stable_version_that_never_does_is_demoted() {
    let trial = Trial::start("infinite", &["routing: {split: random}", VERSUS, HALF]);
    fails_below(&trial, 2, 30.0);
    let load = Load::start(trial.server.address(), 2, questions(100));
    let view = trial.rollout.wait_state("demoted");
    load.wait_more(200);
    assert_eq!(load.finish().failures, Vec::<String>::new());
    assert_eq!(trial.rollout.history()[0]["to"], "demoted");
    let flushed = trial.rollout.wait("a later view", |later| later["updatedAt"] != view["updatedAt"]);
    assert_eq!(flushed["store"], json!({"state": "ready"}), "{flushed}");
}

/// Rows of 0 to 99 of which so many fail.
fn fails_below(trial: &Trial, version: u64, limit: f32) {
    trial.script.behave(version, move |rows| if rows.iter().any(|row| *row < limit) { Act::Fail } else { Act::Answer });
}

#[test]
fn a_canary_that_fails_ten_times_as_often_as_stable_is_demoted() {
    let trial = Trial::start("tenfold", &["routing: {split: random}", VERSUS, HALF]);
    fails_below(&trial, 1, 3.0);
    fails_below(&trial, 2, 30.0);
    // One request a batch: a batch that fails on stable is run again row by row, one on the canary is not.
    let load = Load::start(trial.server.address(), 2, questions(100));
    let view = trial.rollout.wait_state("demoted");
    assert!(view["reason"].as_str().is_some_and(|reason| reason.starts_with("versus: ")), "{view}");
    load.wait_more(200);
    let tally = load.finish();
    let strange: Vec<_> = tally.failures.iter().filter(|failure| !failure.contains("version 1 fails")).collect();
    assert!(strange.is_empty(), "callers see what stable fails, and nothing else: {strange:?}");
}

#[test]
fn a_canary_that_fails_as_often_as_stable_stays() {
    let trial = Trial::start("alike", &["routing: {split: random}", VERSUS, HALF]);
    fails_below(&trial, 1, 20.0);
    fails_below(&trial, 2, 20.0);
    let load = Load::start(trial.server.address(), 4, questions(100));
    for _ in 0..30 {
        load.wait_more(100);
    }
    load.finish();
    let view = trial.rollout.wait("counted", |view| view["tracks"]["canary"]["requests"].as_u64() > Some(1000));
    assert_eq!(view["state"], "paused", "{view}");
    assert!(view["tracks"]["canary"]["failed"].as_u64() > Some(100), "{view}");
}
