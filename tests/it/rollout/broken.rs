//! Canaries that fail: their callers do not notice, and they are out soon.

use std::time::Duration;

use perch_testkit::fake::Act;
use perch_testkit::load::Load;

use super::{ALL, ERRORS, HALF, Trial, ask, assert_doubled, questions, three_of_ten, track, why};

/// Callers see right answers only, and the canary is out: no request reaches it afterwards.
fn assert_out(trial: &Trial, load: Load, metric: &str) {
    let view = trial.rollout.wait_state("demoted");
    let reason = view["reason"].as_str().expect("a reason");
    assert!(reason.starts_with(&format!("{metric}: ")), "{reason}");
    assert_eq!(view["weight"], 0.0);
    assert_eq!(view["quarantine"][0]["digest"], view["canary"]["digest"]);
    // What was on its way ends first.
    load.wait_more(100);
    let runs = trial.canary_runs();
    load.wait_more(500);
    assert_eq!(trial.canary_runs(), runs, "requests reach a canary that is out");
    let tally = load.finish();
    assert_eq!(tally.failures, Vec::<String>::new());
    let demotions = trial.count("perch_rollout_demotions_total", &[]);
    assert!((demotions - 1.0).abs() < 1e-9, "{demotions} demotions");
}

#[test]
fn a_canary_that_fails_three_of_ten_is_demoted_and_no_caller_notices() {
    let trial = Trial::start("third", &[ERRORS, HALF]);
    trial.script.behave(2, |rows| if three_of_ten(rows) { Act::Fail } else { Act::Answer });
    let load = Load::start(trial.server.address(), 8, questions(100));
    assert_out(&trial, load, "errors");
}

#[test]
fn a_canary_that_answers_nan_is_demoted_and_no_caller_notices() {
    let trial = Trial::start("no-number", &[ERRORS, HALF]);
    trial.script.behave(2, |_| Act::Nan(|_| true));
    let load = Load::start(trial.server.address(), 8, questions(100));
    assert_out(&trial, load, "errors");
    let fallbacks = trial.count("perch_rollout_fallbacks_total", &[("reason", "invalid_output")]);
    assert!(fallbacks >= 3.0, "{fallbacks} fallbacks");
}

#[test]
fn a_canary_that_answers_too_few_rows_is_demoted_and_no_caller_notices() {
    let trial = Trial::start("short", &[ERRORS, HALF]);
    trial.script.behave(2, |_| Act::Short);
    let load = Load::start(trial.server.address(), 8, questions(100));
    assert_out(&trial, load, "errors");
}

#[test]
fn a_canary_that_always_fails_runs_three_times_when_asked_one_at_a_time() {
    let trial = Trial::start("always", &[ERRORS, ALL]);
    let before = trial.canary_runs();
    trial.script.behave(2, |_| Act::Fail);
    let mut client = trial.server.client();
    for row in [1.0, 2.0, 3.0] {
        let reply = ask(&mut client, row);
        assert_doubled(&reply, row);
        assert_eq!((track(&reply), why(&reply)), ("stable", Some("error")));
    }
    // Out at once, not when that is written down.
    let reply = ask(&mut client, 4.0);
    assert_doubled(&reply, 4.0);
    assert_eq!((track(&reply), why(&reply)), ("stable", None));
    assert_eq!(trial.canary_runs() - before, 3);
    let view = trial.rollout.wait_state("demoted");
    let metric = &view["metrics"][0];
    assert_eq!((&metric["n"], &metric["bad"], &metric["status"]), (&3.into(), &3.into(), &"breached".into()), "{view}");
    let history = trial.rollout.history();
    assert_eq!((&history[0]["who"], &history[0]["to"]), (&"judge".into(), &"demoted".into()), "{history:?}");
}

#[test]
fn a_canary_that_only_ever_hangs_is_demoted_and_its_callers_wait_no_longer_than_after() {
    let routing = "routing: {fallback: {after: 300ms}}";
    let trial = Trial::prepared("hangs", &[routing, ERRORS, HALF], "60s", |_| {});
    trial.script.behave(2, |_| Act::Spin);
    let load = Load::start(trial.server.address(), 8, questions(100));
    assert_out(&trial, load, "errors");
    let view = trial.rollout.view();
    assert!(view["fallbacks"]["timeout"].as_u64() >= Some(3), "{view}");
    // The longest: a run on the reactor that was ended there, then `after`. Nobody waited for the request timeout.
    let p99 = view["tracks"]["stable"]["p99"].as_f64().expect("a latency");
    assert!(p99 < Duration::from_secs(20).as_secs_f64() * 1e3, "stable's p99 is {p99} ms");
}
