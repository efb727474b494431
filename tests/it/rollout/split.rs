//! Which requests the canary gets.

use std::collections::BTreeSet;

use perch_testkit::fake::Act;
use perch_testkit::{Client, Reply};
use serde_json::{Value, json};

use super::{ERRORS, PATIENT, Trial, ask, assert_doubled, body, track, why};

const TEN: &str = "strategy: {canary: {steps: [{setWeight: 10}, {pause: {}}]}}";

fn with(client: &mut Client, header: (&str, &str), body: &Value) -> Reply {
    client.request("POST", "/predict", &[header], body.to_string().as_bytes())
}

/// Requests of which the canary gets `percent`, within five at every prefix.
fn assert_exact(percent: i64, requests: i64, mut ask: impl FnMut() -> Reply) {
    let mut canary = 0;
    for n in 1..=requests {
        let reply = ask();
        assert_doubled(&reply, 1.0);
        canary += i64::from(track(&reply) == "canary");
        let off = 100 * canary - percent * n;
        assert!(off.abs() <= 500, "{canary} of {n} at {percent} %");
    }
}

#[test]
fn the_share_is_exact_within_five_at_every_prefix() {
    let trial = Trial::start("exact", &[PATIENT, TEN]);
    let mut client = trial.server.client();
    assert_exact(10, 3000, || ask(&mut client, 1.0));
    let view = trial.rollout.wait("all counted", |view| {
        let [stable, canary] = ["stable", "canary"].map(|track| view["tracks"][track]["requests"].as_u64());
        stable.zip(canary).is_some_and(|(stable, canary)| stable + canary == 3000)
    });
    let share = view["actualShare"].as_f64().expect("a share");
    assert!((share - 10.0).abs() <= 0.25, "{share}");
    trial.rollout.set_weight(37.0);
    assert_exact(37, 1000, || ask(&mut client, 1.0));
}

/// Tracks by key at growing weights: a key stays where it is, and never goes back.
fn assert_sticky(trial: &Trial, ask: impl Fn(&mut Client, usize) -> Reply) {
    let mut client = trial.server.client();
    let mut before = BTreeSet::new();
    for weight in [10.0, 30.0, 60.0] {
        trial.rollout.set_weight(weight);
        let mut canary = BTreeSet::new();
        for key in 0..400_usize {
            let tracks = [0, 1].map(|_| {
                let reply = ask(&mut client, key);
                assert_doubled(&reply, 1.0);
                track(&reply).to_owned()
            });
            assert_eq!(tracks[0], tracks[1], "key {key} at {weight} %");
            if tracks[0] == "canary" {
                canary.insert(key);
            }
        }
        assert!(before.is_subset(&canary), "keys that left the canary at {weight} %: {:?}", &before - &canary);
        // A binomial's standard deviation is 10 at most.
        let (got, wanted) = (u32::try_from(canary.len()).map_or(0.0, f64::from), 4.0 * weight);
        assert!((got - wanted).abs() < 50.0, "{got} of 400 keys at {weight} %");
        before = canary;
    }
}

#[test]
fn a_key_in_a_header_stays_on_its_track() {
    let trial = Trial::start("sticky-head", &["routing: {split: hash, hashKey: {header: X-User-Id}}", PATIENT, TEN]);
    assert_sticky(&trial, |client, key| with(client, ("X-USER-ID", &format!("user-{key}")), &body(&[1.0])));
    trial.rollout.set_weight(25.0);
    let mut client = trial.server.client();
    assert_exact(25, 600, || ask(&mut client, 1.0));
}

#[test]
fn a_key_in_the_body_stays_on_its_track() {
    let trial = Trial::start("sticky-body", &["routing: {split: hash, hashKey: {field: user}}", PATIENT, TEN]);
    assert_sticky(&trial, |client, key| client.predict(&json!({"parameters": {"user": key}, "instances": [1.0]})));
    trial.rollout.set_weight(25.0);
    let mut client = trial.server.client();
    assert_exact(25, 300, || ask(&mut client, 1.0));
    assert_exact(25, 300, || client.predict(&json!({"parameters": {"other": 1}, "instances": [1.0]})));
}

#[test]
fn a_request_may_ask_for_a_track_and_is_no_evidence() {
    let trial = Trial::start("asked", &[ERRORS, TEN]);
    let mut client = trial.server.client();
    let mut asked = |name: &str| with(&mut client, ("x-perch-track", name), &body(&[1.0]));
    for name in ["canary", "stable"].repeat(20) {
        let reply = asked(name);
        assert_doubled(&reply, 1.0);
        assert_eq!(track(&reply), name);
    }
    for wrong in ["blue", "", "Canary"] {
        let (code, message) = asked(wrong).error(400);
        assert_eq!(code, "invalid_input");
        assert!(message.contains("x-perch-track") && message.contains("stable or canary"), "{message}");
    }
    // It fails them all, and they are answered by stable, and nobody counts.
    trial.script.behave(2, |_| Act::Fail);
    for _ in 0..10 {
        let reply = asked("canary");
        assert_doubled(&reply, 1.0);
        assert_eq!((track(&reply), why(&reply)), ("stable", Some("error")));
    }
    trial.script.behave(2, |_| Act::Answer);
    let mut counted = 0;
    let mut other = trial.server.client();
    while counted == 0 {
        counted += u64::from(track(&ask(&mut other, 1.0)) == "canary");
    }
    let (view, metric) = trial.counted("errors", 1);
    assert_eq!(
        (&metric["bad"], &view["state"], &view["tracks"]["canary"]["requests"]),
        (&json!(0), &json!("paused"), &json!(1))
    );

    // By hand, by the judge: what is out is out.
    trial.rollout.command("abort", &json!({})).ok();
    let reply = asked("canary");
    assert_doubled(&reply, 1.0);
    assert_eq!((track(&reply), why(&reply)), ("stable", None));
}

#[test]
fn what_was_demoted_is_not_served_to_those_who_ask_for_it() {
    let trial = Trial::start("asked-out", &[ERRORS, super::ALL]);
    trial.script.behave(2, |_| Act::Fail);
    for _ in 0..3 {
        assert_doubled(&trial.ask(1.0), 1.0);
    }
    let runs = trial.canary_runs();
    let reply = with(&mut trial.server.client(), ("x-perch-track", "canary"), &body(&[1.0]));
    assert_doubled(&reply, 1.0);
    assert_eq!((track(&reply), why(&reply), trial.canary_runs()), ("stable", None, runs));
}
