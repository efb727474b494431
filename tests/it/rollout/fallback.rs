//! What the canary fails, stable answers: when, how often, and what the response says.

use std::time::{Duration, Instant};

use perch_testkit::fake::Act;
use serde_json::json;

use super::{ALL, ERRORS, PATIENT, Trial, ask, assert_doubled, track, why};

#[test]
fn the_response_and_the_metrics_say_why_stable_has_answered() {
    let trial = Trial::prepared("reasons", &["routing: {fallback: {after: 400ms}}", PATIENT, ALL], "60s", |_| {});
    let mut client = trial.server.client();
    assert_eq!(why(&ask(&mut client, 1.0)), None);
    let acts = [
        (Act::Fail, "error", 1.0),
        (Act::Nan(|_| true), "invalid_output", 2.0),
        (Act::Short, "invalid_output", 3.0),
        (Act::Spin, "timeout", 4.0),
    ];
    for (act, reason, row) in acts {
        trial.script.behave(2, move |_| act);
        let began = Instant::now();
        let reply = ask(&mut client, row);
        let took = began.elapsed();
        assert_doubled(&reply, row);
        assert_eq!((track(&reply), why(&reply)), ("stable", Some(reason)));
        assert_eq!(reply.header("x-perch-version"), Some("1"));
        assert_eq!(reply.json()["track"], "stable");
        assert!(reason != "timeout" || took >= Duration::from_millis(400), "{reason} after {took:?}");
        assert!(took < Duration::from_secs(30), "{reason} after {took:?}");
    }
    for (reason, count) in [("error", 1.0), ("invalid_output", 2.0), ("timeout", 1.0)] {
        let counted = trial.count("perch_rollout_fallbacks_total", &[("reason", reason)]);
        assert!((counted - count).abs() < 1e-9, "{counted} for {reason}");
    }
    let view = trial.rollout.wait("four fallbacks", |view| view["fallbacks"]["timeout"] == 1);
    let fallbacks = &view["fallbacks"];
    assert_eq!(
        (&fallbacks["error"], &fallbacks["invalid_output"], &fallbacks["exhausted"]),
        (&json!(1), &json!(2), &json!(0))
    );
    assert_eq!((&fallbacks["left"], &fallbacks["burst"]), (&json!(997), &json!(1000)));
}

#[test]
fn without_fallbacks_callers_see_what_the_canary_does_and_it_is_demoted() {
    let trial = Trial::start("bare", &["routing: {fallback: {on: []}}", ERRORS, ALL]);
    let mut client = trial.server.client();
    trial.script.behave(2, |_| Act::Fail);
    let reply = ask(&mut client, 1.0);
    let (code, message) = reply.error(500);
    assert_eq!((&*code, &*message, why(&reply)), ("model_failed", "version 2 fails", None));
    trial.script.behave(2, |_| Act::Nan(|_| true));
    let reply = ask(&mut client, 1.0);
    assert_eq!((reply.ok()["predictions"].clone(), track(&reply)), (json!(["NaN"]), "canary"));
    trial.script.behave(2, |_| Act::Short);
    assert_eq!(ask(&mut client, 1.0).status, 500);
    assert_doubled(&ask(&mut client, 1.0), 1.0);
    let view = trial.rollout.wait_state("demoted");
    assert_eq!((&view["metrics"][0]["n"], &view["metrics"][0]["bad"]), (&json!(3), &json!(3)));
}

#[test]
fn a_reason_that_is_not_named_is_the_callers_to_see() {
    let trial = Trial::start("some", &["routing: {fallback: {on: [invalidOutput]}}", PATIENT, ALL]);
    trial.script.behave(2, |rows| if rows[0] < 5.0 { Act::Fail } else { Act::Nan(|_| true) });
    assert_eq!(trial.ask(1.0).error(500).0, "model_failed");
    let reply = trial.ask(6.0);
    assert_doubled(&reply, 6.0);
    assert_eq!(why(&reply), Some("invalid_output"));
}

#[test]
fn refusals_of_the_canary_that_stable_was_not_asked_about_are_no_evidence() {
    let trial = Trial::start("refuses-bare", &["routing: {fallback: {on: []}}", ERRORS, ALL]);
    trial.script.behave(2, |_| Act::Invalid);
    for _ in 0..5 {
        assert_eq!(trial.ask(1.0).error(400).0, "invalid_input");
    }
    let (view, metric) = trial.counted("errors", 5);
    assert_eq!((&view["state"], &metric["bad"]), (&json!("paused"), &json!(0)), "{view}");
}

#[test]
fn a_canary_that_refuses_what_stable_takes_is_demoted() {
    let trial = Trial::start("refuses", &[ERRORS, ALL]);
    trial.script.behave(2, |_| Act::Invalid);
    for row in [1.0, 2.0, 3.0] {
        let reply = trial.ask(row);
        assert_doubled(&reply, row);
        assert_eq!(why(&reply), Some("error"));
    }
    trial.rollout.wait_state("demoted");
}

#[test]
fn when_the_budget_is_empty_callers_are_told_to_come_back() {
    let trial = Trial::start("budget", &["routing: {fallback: {burst: 5, budgetPercent: 0}}", PATIENT, ALL]);
    trial.script.behave(2, |_| Act::Fail);
    let mut client = trial.server.client();
    for row in [1.0, 2.0, 3.0, 4.0, 5.0] {
        assert_doubled(&ask(&mut client, row), row);
    }
    let reply = ask(&mut client, 6.0);
    let (code, message) = reply.error(503);
    assert_eq!(code, "fallback_exhausted");
    assert!(message.contains("error"), "{message}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let (view, metric) = trial.counted("errors", 6);
    assert_eq!(metric["bad"], 6, "stable was not asked, and was well: {metric}");
    let fallbacks = &view["fallbacks"];
    assert_eq!((&fallbacks["error"], &fallbacks["exhausted"], &fallbacks["left"]), (&json!(5), &json!(1), &json!(0)));
}

/// Every fifth request may fall back, from the requests that come.
#[test]
fn the_budget_is_filled_by_requests() {
    let trial = Trial::start("refill", &["routing: {fallback: {burst: 2, budgetPercent: 20}}", PATIENT, ALL]);
    let mut client = trial.server.client();
    trial.script.behave(2, |rows| if rows[0] < 0.0 { Act::Fail } else { Act::Answer });
    for _ in 0..2 {
        assert_doubled(&ask(&mut client, -1.0), -1.0);
    }
    // The first two are requests as well: two fifths of a fallback.
    assert_eq!(ask(&mut client, -1.0).error(503).0, "fallback_exhausted");
    for _ in 0..10 {
        assert_doubled(&ask(&mut client, 1.0), 1.0);
    }
    trial.rollout.wait("two fallbacks", |view| view["fallbacks"]["left"] == 2);
}
