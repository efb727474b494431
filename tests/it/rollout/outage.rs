//! What is not the canary's fault: what stable fails as well, and what no version could answer.

use perch_testkit::fake::{Act, trigger};
use perch_testkit::load::Load;
use serde_json::json;

use super::{ALL, ERRORS, HALF, PATIENT, Trial, ask, assert_doubled, body, questions, track, why};

/// Both versions fail everything until it is over.
fn outage(trial: &Trial, begin: impl FnOnce() -> Load) {
    let warm = Load::start(trial.server.address(), 4, questions(100));
    warm.wait_more(200);
    assert_eq!(warm.finish().failures, Vec::<String>::new());
    let before = trial.rollout.view();

    let load = begin();
    let view = trial.rollout.wait_state("suspended");
    assert_eq!(view["weight"], 0.0);
    assert_eq!(view["quarantine"], json!([]));
    assert_eq!(view["stableFailing"], true);
    assert_eq!(view["step"], before["step"]);
    load.wait_more(100);
    let runs = trial.canary_runs();
    load.wait_more(300);
    assert_eq!(trial.canary_runs(), runs, "a suspended canary gets requests");
    let reply = trial.server.client().request(
        "POST",
        "/predict",
        &[("x-perch-track", "canary")],
        body(&[1.0]).to_string().as_bytes(),
    );
    assert_eq!(reply.error(500).1, "version 1 fails", "not for those who ask for it either");
    load.finish();

    for version in [1, 2] {
        trial.script.behave(version, |_| Act::Answer);
    }
    assert_eq!(trial.rollout.view()["state"], "suspended", "stable was not well for a minute yet");
    let view = trial.rollout.command("resume", &json!({})).ok();
    assert_ne!(view["rollout"], before["rollout"], "evidence begins anew");
    assert_eq!((&view["weight"], &view["metrics"][0]["bad"]), (&before["weight"], &json!(0)), "{view}");
    let load = Load::start(trial.server.address(), 4, questions(100));
    load.wait_more(500);
    let tally = load.finish();
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.answers.contains_key("2"), "{:?}", tally.answers);
    assert_eq!(trial.rollout.view()["state"], before["state"]);
}

#[test]
fn an_outage_of_both_suspends_and_demotes_nobody() {
    let trial = Trial::start("outage", &[ERRORS, HALF]);
    outage(&trial, || {
        for version in [1, 2] {
            trial.script.behave(version, |_| Act::Fail);
        }
        Load::start(trial.server.address(), 4, questions(100))
    });
}

#[test]
fn an_outage_of_both_suspends_without_fallbacks_too() {
    let trial = Trial::start("outage-bare", &["routing: {fallback: {on: []}}", ERRORS, HALF]);
    // Stable is not asked for what the canary has failed: what it does fail has to be seen by then.
    outage(&trial, || {
        trial.script.behave(1, |_| Act::Fail);
        let load = Load::start(trial.server.address(), 4, questions(100));
        trial.rollout.wait("stable is failing", |view| view["stableFailing"] == true);
        trial.script.behave(2, |_| Act::Fail);
        load
    });
}

/// Rows that no version can answer, among good ones.
fn poisoned(trial: &Trial, poison: f32, status: u16, rounds: u16) {
    let mut client = trial.server.client();
    for round in 0..rounds {
        let reply = ask(&mut client, poison);
        assert_eq!(reply.status, status, "{}", reply.text());
        for row in [f32::from(round), 7.0, 8.0, 9.0] {
            assert_doubled(&ask(&mut client, row), row);
        }
    }
}

#[test]
fn an_input_that_no_version_can_answer_is_nobodys_fault() {
    for (name, poison, status) in
        [("poison", trigger::FAIL, 500), ("refused", trigger::INVALID, 400), ("cut", trigger::SHORT, 500)]
    {
        let trial = Trial::start(name, &["analysis: {metrics: [{name: errors, type: error-rate, max: 0.4}]}", ALL]);
        poisoned(&trial, poison, status, 40);
        let (view, metric) = trial.counted("errors", 200);
        assert_eq!((&metric["bad"], &metric["value"]), (&json!(0), &json!(0.0)), "{name}: {metric}");
        assert!(metric["evidence"].as_f64() < Some(0.0), "{name}: {metric}");
        assert_eq!((&view["state"], &view["quarantine"]), (&json!("paused"), &json!([])), "{name}: {view}");
    }
}

#[test]
fn a_poison_input_that_stable_answers_with_nan_too_is_nobodys_fault() {
    let trial = Trial::start("nan-poison", &["analysis: {metrics: [{name: errors, type: error-rate, max: 0.4}]}", ALL]);
    let mut client = trial.server.client();
    for _ in 0..20 {
        let reply = ask(&mut client, trigger::NAN);
        assert_eq!((track(&reply), why(&reply)), ("stable", Some("invalid_output")));
        assert_eq!(reply.ok()["predictions"], json!(["NaN"]));
    }
    let (view, metric) = trial.counted("errors", 20);
    assert_eq!((&metric["bad"], &view["state"]), (&json!(0), &json!("paused")), "{view}");
}

/// Compared with stable's failures, too: what both refuse is a failure of neither.
#[test]
fn inputs_that_both_refuse_are_no_failures_beside_stables() {
    let policy = "analysis: {metrics: [{name: versus, type: error-rate, compareTo: stable, maxRatio: 1.5}]}";
    let trial = Trial::start("refused-both", &["routing: {split: random}", policy, HALF]);
    poisoned(&trial, trigger::INVALID, 400, 200);
    let view = trial.rollout.wait("all are counted", |view| {
        let [stable, canary] = ["stable", "canary"].map(|track| view["tracks"][track]["requests"].as_u64());
        stable.zip(canary).is_some_and(|(stable, canary)| stable + canary >= 800)
    });
    let metric = &view["metrics"][0];
    assert_eq!((&view["state"], &metric["bad"]), (&json!("paused"), &json!(0)), "{view}");
    assert_eq!(view["tracks"]["canary"]["failed"], 0, "{view}");
}

#[test]
fn bodies_that_are_wrong_are_no_evidence() {
    let trial = Trial::start("wrong-bodies", &[PATIENT, ALL]);
    let mut client = trial.server.client();
    for wrong in [r#"{"instances": ["x"]}"#, r#"{"instances": [[1, 2]]}"#, "{", r#"{"instances": []}"#] {
        for _ in 0..5 {
            assert_eq!(client.post(wrong).status, 400, "{wrong}");
        }
    }
    assert_doubled(&ask(&mut client, 1.0), 1.0);
    let (view, metric) = trial.counted("errors", 1);
    assert_eq!(metric["bad"], 0);
    assert_eq!((&view["tracks"]["canary"]["requests"], &view["tracks"]["canary"]["failed"]), (&json!(1), &json!(0)));
}
