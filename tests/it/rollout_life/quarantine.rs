//! What is not tried again, and what other hands do to a rollout.

use perch_testkit::health::report;
use perch_testkit::wait;
use serde_json::{Value, json};

use super::traffic::assert_all;
use super::{Admin, MODEL, Site, loads, moves, policy, steps, traffic};

const HELD: &str = "[{setWeight: 30}, {pause: {}}, {setWeight: 60}, {pause: {duration: 1h}}]";

#[test]
fn what_was_demoted_rests_over_restarts_and_under_other_numbers() {
    let site = Site::new(&steps("60s"));
    site.models.set_alias(MODEL, "canary", 3);
    let perch = site.ready();
    let load = traffic(&perch);
    load.poison(true);
    let view = Admin::of(&perch).wait_state("demoted");
    let bad = view["canary"]["digest"].clone();
    let rests = |model: &Value, version: &str| {
        report(model, version).is_some_and(|report| report["state"] == "quarantined" && report["digest"] == bad)
    };
    perch.health().wait_model(MODEL, "quarantined", |model| rests(model, "3"));
    load.end();
    perch.stop();

    let perch = site.ready();
    let load = traffic(&perch);
    load.poison(true);
    let admin = Admin::of(&perch);
    perch.health().wait_model(MODEL, "quarantined after a restart", |model| rests(model, "3"));
    let loaded = loads(&perch);
    site.models.copy_version(MODEL, 3, MODEL, 4);
    site.models.set_alias(MODEL, "canary", 4);
    perch.health().wait_model(MODEL, "quarantined as version 4", |model| rests(model, "4"));
    assert_eq!(admin.view()["state"], "demoted");
    assert_eq!((loads(&perch).to_bits(), loaded.to_bits()), (1_f64.to_bits(), 1_f64.to_bits()), "stable and no more");
    assert_all(&load.next(50), "1", "stable");

    for command in ["retry", "start"] {
        let (code, message) = admin.post(command, &Value::Null).error(409);
        assert_eq!(code, "refused", "{command}");
        assert!(message.contains("in quarantine") && message.contains("version 4"), "{command}: {message}");
    }
    load.poison(false);
    let before = view["canary"]["digest"].as_str().expect("a digest");
    let view = admin.post("retry", &json!({"force": true, "who": "bob"})).ok();
    assert_eq!((&view["state"], &view["canary"]["version"]), (&json!("progressing"), &json!("4")), "{view}");
    assert_eq!(view["rollout"], format!("{MODEL}/{before}/2"));
    assert_eq!((&view["metrics"][0]["n"], &view["quarantine"]), (&json!(0), &json!([])), "{view}");
    let history = admin.history();
    assert!(history.iter().any(|row| row["who"] == "operator:bob"), "{history:?}");
    admin.wait_state("promoted");
    site.wait_aliases(&json!({"previous": 1, "stable": 4}));
    assert_all(&load.next(20), "4", "canary");
    load.end();
}

#[test]
fn a_new_canary_in_the_middle_starts_afresh() {
    let site = Site::new(&policy(HELD));
    site.models.set_alias(MODEL, "canary", 2);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    let first = admin.wait("evidence", |view| view["metrics"][0]["n"].as_u64() > Some(20));
    site.models.set_alias(MODEL, "canary", 3);
    let second = admin.wait("version 3", |view| view["canary"]["version"] == "3" && view["state"] == "paused");
    assert!(second["metrics"][0]["n"].as_u64() < first["metrics"][0]["n"].as_u64(), "{second}");
    let digest = second["canary"]["digest"].as_str().expect("a digest");
    assert_eq!(second["rollout"], format!("{MODEL}/{digest}/2"));
    let what: Vec<Value> = admin.history().iter().map(|row| row["what"].clone()).collect();
    assert!(what.iter().any(|what| what.as_str().is_some_and(|what| what.contains("superseded"))), "{what:?}");
    load.next(50);
    load.end();
}

#[test]
fn a_canary_that_is_removed_is_aborted() {
    let site = Site::new(&policy(HELD));
    site.models.set_alias(MODEL, "canary", 2);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("paused");
    site.models.delete_alias(MODEL, "canary");
    let view = admin.wait_state("aborted");
    assert_eq!(view["reason"], "canary_removed");
    assert_all(&load.next(50), "1", "stable");
    site.models.set_alias(MODEL, "canary", 2);
    admin.wait("it is tried again", |view| view["state"] == "paused" && view["weight"] == json!(30.0));
    load.end();
}

#[test]
fn stable_that_is_moved_to_a_third_version_aborts() {
    let site = Site::new(&policy(HELD));
    site.models.set_alias(MODEL, "canary", 3);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("paused");
    site.models.set_alias(MODEL, "stable", 2);
    let view = admin.wait_state("aborted");
    assert_eq!((&view["reason"], &view["stable"]["version"]), (&json!("stable_moved"), &json!("2")));
    perch.health().wait_serving(MODEL, "stable", 2);
    assert_all(&load.next(50), "2", "stable");
    assert_eq!(site.aliases(), json!({"canary": 3, "stable": 2}), "nothing is moved");
    load.end();
}

#[test]
fn stable_that_is_moved_to_the_canary_is_a_promotion_by_hand() {
    let site = Site::new(&policy(HELD));
    site.models.set_alias(MODEL, "canary", 2);
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("paused");
    let before = loads(&perch);
    site.models.set_alias(MODEL, "stable", 2);
    admin.wait("idle with the new stable", |view| view["state"] == "idle" && view["stable"]["version"] == "2");
    perch.health().wait_serving(MODEL, "stable", 2);
    site.wait_aliases(&json!({"stable": 2}));
    assert_all(&load.next(50), "2", "stable");
    assert_eq!(loads(&perch).to_bits(), before.to_bits(), "it was loaded already");
    load.end();
    let moves = moves(&admin.history());
    assert!(moves.iter().any(|line| line == "registry paused>idle"), "{moves:?}");
}

#[test]
fn a_canary_that_is_stable_is_no_canary() {
    let site = Site::new(&policy(HELD));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("idle");
    let before = loads(&perch);
    site.models.set_alias(MODEL, "canary", 1);
    site.wait_aliases(&json!({"stable": 1}));
    let what = wait::until("a row", || {
        admin.history().into_iter().find(|row| row["what"].as_str().is_some_and(|what| what.contains("stable already")))
    });
    assert_eq!((&what["from"], &what["to"]), (&json!("idle"), &json!("idle")), "{what}");
    assert_eq!(admin.view()["state"], "idle");
    assert_all(&load.next(20), "1", "stable");
    assert_eq!(loads(&perch).to_bits(), before.to_bits());
    load.end();
}
