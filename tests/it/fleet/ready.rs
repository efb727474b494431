//! Fleets in which not all replicas are alike.

use std::fs;

use perch_testkit::{Models, PerchProcess, wait};
use serde_json::{Value, json};

use super::load::share;
use super::{Fleet, REPLICAS, seconds};
use crate::rollout_life::{Admin, MODEL, policy, short, sorted_questions_of};

/// So many requests of so many rows with their answers, as smoke tests have them; `shift` makes the answers wrong.
fn smoke_tests(count: usize, rows: usize, shift: f64) -> String {
    let (good, _) = sorted_questions_of(MODEL);
    let asked: Vec<(Value, f64)> = good
        .iter()
        .map(|question| {
            let request: Value = serde_json::from_str(&question.body).expect("JSON");
            (request["instances"][0].clone(), question.answers["2"][0].as_f64().expect("a number") + shift)
        })
        .filter(|(row, _)| row.as_array().is_some_and(|row| row.iter().all(Value::is_number)))
        .collect();
    let line = |number: usize| {
        let rows: Vec<_> = asked.iter().cycle().skip(number).take(rows).collect();
        let (instances, predictions): (Vec<Value>, Vec<f64>) = rows.into_iter().cloned().unzip();
        format!("{}\n", json!({"instances": instances, "predictions": predictions, "tolerance": 1e-4}))
    };
    (0..count).map(line).collect()
}

/// Two replicas alike, and a third one whose copy of version 2 has other smoke tests than theirs.
fn with_an_odd_one(policy: &str, odd: &str) -> (Fleet, Models) {
    let mut fleet = Fleet::of(policy);
    let models = Models::with(&[MODEL]);
    fleet.site.models.write(&format!("{MODEL}/2/smoke_tests.jsonl"), smoke_tests(5, 1, 0.0).as_bytes());
    models.write(&format!("{MODEL}/2/smoke_tests.jsonl"), odd.as_bytes());
    fleet.replicas[2].take().expect("running").stop();
    let mut command = fleet.site.command_from(models.path(), &fleet.site.file("policy.yaml"));
    let perch = PerchProcess::spawn(&mut command);
    perch.wait_ready();
    fleet.settle(2, perch);
    fleet.wait_seen(REPLICAS);
    fleet.site.models.set_alias(MODEL, "canary", 2);
    models.set_alias(MODEL, "canary", 2);
    (fleet, models)
}

/// What one replica says of another.
fn row<'v>(view: &'v Value, of: &PerchProcess) -> &'v Value {
    let port = format!(":{}", of.address().port());
    let rows = view["fleet"]["replicas"].as_array().expect("rows");
    rows.iter().find(|row| row["replica"].as_str().is_some_and(|name| name.ends_with(&port))).expect("its row")
}

const STEPS: &str = "[{setWeight: 100}, {pause: {}}]\n    smokeTests: true\n";

#[test]
fn a_replica_that_cannot_load_the_canary_says_so_and_the_rollout_waits_for_somebody() {
    let (fleet, _models) = with_an_odd_one(&policy(STEPS), &smoke_tests(5, 1, 1.0));
    let load = fleet.load(100);
    fleet.wait_all("paused", |view| view["pausedBy"] == "unfit");
    let views = fleet.wait_all("why", |view| {
        view["reason"].as_str().is_some_and(|why| why.contains(" cannot load the canary: smoke tests: "))
    });
    for view in &views {
        assert_eq!((&view["state"], &view["weight"]), (&json!("paused"), &json!(0.0)), "{}", short(view));
    }
    let odd = fleet.replicas[2].as_ref().expect("running");
    Admin::of(fleet.replicas[0].as_ref().expect("running")).wait("who it is", |view| {
        view["fleet"]["seen"] == json!(3)
            && view["fleet"]["ready"] == json!(2)
            && row(view, odd)["unfit"].as_str().is_some_and(|why| why.contains("smoke tests"))
    });
    // Somebody knows better: it goes on with those that can.
    fleet.admin().say("resume");
    fleet.wait_all("100 %", |view| view["state"] == "paused" && view["pausedBy"] == "step");
    wait::until_true("two thirds of the requests", || {
        let answers = load.next(90);
        (0.6..0.73).contains(&share(&answers, |answer| answer.version == "2"))
    });
    let question = &sorted_questions_of(MODEL).0[0];
    let reply = odd.client().post(question.body.as_bytes());
    assert_eq!(question.check(&reply), Ok("1".to_owned()), "it sends nothing to what it cannot load");
    load.end();
}

#[test]
fn a_replica_that_takes_its_time_is_waited_for_until_the_deadline() {
    let (fleet, _models) =
        with_an_odd_one(&format!("{}fleet: {{readyWithin: 4s}}\n", policy(STEPS)), &smoke_tests(5_000, 50, 0.0));
    let load = fleet.load(60);
    let slow = fleet.replicas[2].as_ref().expect("running");
    let quick = Admin::of(fleet.replicas[0].as_ref().expect("running"));
    let view = quick.wait("100 %", |view| view["weight"] == json!(100.0) && view["fleet"]["ready"] == json!(2));
    assert_eq!(row(&view, slow)["ready"], json!(false), "{view}");
    // The other two were ready long before: the whole of the time was waited for.
    let history = quick.history();
    let at = |what: &str| {
        let says = |row: &&Value| row["what"].as_str().is_some_and(|said| said.contains(what));
        seconds(history.iter().find(says).expect(what), "at")
    };
    let waited = at("canary is loaded and warm") - at("of version 2 starts");
    assert!(waited > 3.9, "{waited} s: {history:#?}");
    let question = &sorted_questions_of(MODEL).0[0];
    for _ in 0..20 {
        assert_eq!(question.check(&slow.client().post(question.body.as_bytes())), Ok("1".to_owned()));
    }
    load.end();
}

#[test]
fn a_replica_with_another_policy_file_is_reported_and_judges_as_the_others() {
    let mut fleet = Fleet::of(&policy("[{setWeight: 50}, {pause: {}}]"));
    let load = fleet.load(100);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    let other = fleet.site.file("other.yaml");
    let lax = policy("[{setWeight: 10}, {pause: {}}]").replace("max: 0.1", "max: 0.4");
    fs::write(&other, lax).expect("written");
    fleet.kill(2);
    let perch = PerchProcess::spawn(&mut fleet.site.command_from(fleet.site.models.path(), &other));
    perch.wait_ready();
    fleet.settle(2, perch);
    let odd = fleet.replicas[2].as_ref().expect("running");
    let quick = Admin::of(fleet.replicas[0].as_ref().expect("running"));
    let view = quick.wait("it is reported", |view| {
        let rows = view["fleet"]["replicas"].as_array().expect("rows");
        rows.iter().filter(|row| row["otherPolicy"] == json!(true)).count() == 1
    });
    assert_eq!(row(&view, odd)["otherPolicy"], json!(true), "{view}");
    let view = Admin::of(odd).wait("the rollout's own steps and limits", |view| view["weight"] == json!(50.0));
    assert_eq!(view["metrics"][0]["limit"], json!(0.1));
    load.poison(2);
    fleet.wait_all("demoted", |view| view["state"] == "demoted");
    load.end();
}
