//! From the alias `canary` to the new stable, and back when it turns bad in time.

use std::time::{Instant, SystemTime};

use perch_testkit::health::report;
use perch_testkit::wait;
use serde_json::{Value, json};

use super::traffic::{assert_all, share};
use super::{Admin, MODEL, Site, digest, loads, moves, steps, traffic};

#[test]
fn a_good_canary_goes_all_the_way_and_the_old_version_goes() {
    // Long enough to look at what has been promoted, whatever the machine does meanwhile.
    let site = Site::new(&steps("15s"));
    let perch = site.ready();
    let admin = Admin::of(&perch);
    let traffic = traffic(&perch);
    let view = admin.wait("version 1", |view| view["stable"]["version"] == "1");
    assert_eq!((&view["state"], &view["canary"]), (&json!("idle"), &Value::Null));
    assert_all(&traffic.next(20), "1", "stable");

    site.models.set_alias(MODEL, "canary", 2);
    let view = admin.wait("20 %", |view| view["weight"] == json!(20.0));
    assert_eq!((&view["state"], &view["ready"], &view["steps"]), (&json!("progressing"), &json!(true), &json!(8)));
    let began = Instant::now();
    let old = digest(&perch, "1");
    admin.wait("60 %", |view| view["weight"].as_f64() >= Some(60.0));
    // It was seen later than it was so.
    let passed = |row: &Value| row["what"].as_str().is_some_and(|what| what.contains("gate at step 3 passed"));
    let ended = instant_of(&admin.history().iter().find(|row| passed(row)).expect("its row")["at"]);
    let mut first = traffic.since(began);
    first.retain(|answer| answer.sent < ended);
    assert!((0.15..0.25).contains(&share(&first, "2")), "{} of {}", share(&first, "2"), first.len());
    for answer in &first {
        let track = if answer.version == "2" { "canary" } else { "stable" };
        assert_eq!(answer.track, track, "{answer:?}");
        assert_eq!(answer.fallback, None, "{answer:?}");
    }
    admin.wait("100 %", |view| view["weight"] == json!(100.0));
    let whole = Instant::now();
    assert_all(&traffic.next(20), "2", "canary");
    let view = admin.wait_state("promoted");
    assert!(view["until"].is_string() && view["weight"] == json!(100.0), "{view}");
    assert_all(&traffic.next(20), "2", "canary");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    let tags = wait::until("tags", || Some(site.tags("2")).filter(|tags| tags["perch.rollout.at"].is_string()));
    assert_eq!(tags["perch.rollout.state"], "promoted", "{tags}");
    humantime_of(&tags["perch.rollout.at"]);
    let model = perch.health().model(MODEL);
    assert_eq!(report(&model, "1").map(|report| &report["track"]), Some(&json!("stable")), "it stays loaded: {model}");
    let promoted_at = admin.view()["generation"].clone();

    admin.wait_state("idle");
    perch.health().wait_serving(MODEL, "stable", 2);
    let model = perch.health().wait_model(MODEL, "the old version is gone", |model| report(model, "1").is_none());
    assert_eq!(model["versions"].as_array().map(Vec::len), Some(1), "{model}");
    assert_all(&traffic.next(50), "2", "stable");
    let answers = traffic.end();
    let after: Vec<_> = answers.into_iter().filter(|answer| answer.sent >= whole).collect();
    let old_again: Vec<_> = after.iter().filter(|answer| answer.version != "2").collect();
    assert!(old_again.is_empty(), "the old version answered after 100 %: {old_again:?}");

    let history = admin.history();
    let promoted = history.iter().find(|row| row["generation"] == promoted_at).expect("a row");
    assert_eq!((&promoted["to"], &promoted["version"]), (&json!("promoted"), &json!("2")), "{promoted}");
    let generations: Vec<u64> = history.iter().rev().filter_map(|row| row["generation"].as_u64()).collect();
    assert_eq!(generations, (1..=generations.len() as u64).collect::<Vec<_>>(), "no change without a row");
    for pair in history.windows(2) {
        assert_eq!(pair[0]["from"], pair[1]["to"], "{history:?}");
    }
    let moves = moves(&history);
    for expected in ["registry idle>progressing", "schedule progressing>promoted", "schedule promoted>idle"] {
        assert_eq!(moves.iter().filter(|line| *line == expected).count(), 1, "{expected}: {moves:?}");
    }
    assert!(history.iter().all(|row| row["who"].is_string() && row["at"].is_string()), "{history:?}");
    assert_eq!(admin.view()["quarantine"], json!([]));
    assert_ne!(digest(&perch, "2"), old);
}

/// When that was, on the clock of this process.
fn instant_of(text: &Value) -> Instant {
    let time = humantime::parse_rfc3339(text.as_str().expect("a text")).expect("a moment");
    let ago = SystemTime::now().duration_since(time).expect("it is over");
    Instant::now().checked_sub(ago).expect("after this machine was started")
}

/// An RFC 3339 moment.
fn humantime_of(text: &Value) {
    let text = text.as_str().expect("a text");
    assert!(text.len() == 24 && text.ends_with('Z') && text.contains('T'), "{text}");
}

/// Version 3 is promoted on healthy rows, and then the rows come that it cannot answer.
fn breaks_after_promotion(poll: &str, killed: bool) {
    let site = Site::new(&steps("60s")).variable("PERCH__REGISTRY__POLL", poll);
    site.models.set_alias(MODEL, "canary", 3);
    let perch = site.ready();
    let mut admin = Admin::of(&perch);
    let mut load = traffic(&perch);
    let started = admin.wait("something is tried", |view| view["state"] == "progressing");
    let bad = started["canary"]["digest"].clone();
    admin.wait_state("promoted");
    let mut perch = perch;
    if killed {
        let moment = Instant::now();
        perch.kill();
        load.abandon(moment);
        perch = site.ready();
        admin = Admin::of(&perch);
        let view = admin.wait_state("promoted");
        assert_eq!(view["canary"]["version"], "3", "{view}");
        perch.health().wait_serving(MODEL, "stable", 1);
        perch.health().wait_serving(MODEL, "canary", 3);
        load = traffic(&perch);
    }
    site.wait_aliases(&json!({"previous": 1, "stable": 3}));
    assert_all(&load.next(20), "3", "canary");
    let before = loads(&perch);
    load.poison(true);
    let view = admin.wait_state("demoted");
    let out = Instant::now();
    assert!(view["reason"].as_str().is_some_and(|reason| reason.starts_with("errors: ")), "{view}");
    assert_all(&load.next(50), "1", "stable");
    assert_eq!(view["quarantine"][0]["digest"], bad, "{view}");
    site.wait_aliases(&json!({"previous": 1, "stable": 1}));
    perch.health().wait_model(MODEL, "nothing but the old version", |model| {
        report(model, "1").is_some_and(|report| report["state"] == "ready" && report["track"] == "stable")
            && report(model, "3").is_none()
    });
    assert_all(&load.next(50), "1", "stable");
    assert_eq!(loads(&perch).to_bits(), before.to_bits(), "going back takes no load");
    // One after the other: whoever reads them in between sees the new state and the old reason.
    wait::until_true("the tags of the demotion", || {
        let tags = site.tags("3");
        let told = tags["perch.rollout.reason"].as_str().is_some_and(|reason| reason.contains("errors"));
        told && tags["perch.rollout.state"] == "demoted"
    });
    let answers = load.end();
    assert!(answers.iter().filter(|answer| answer.sent >= out).all(|answer| answer.version == "1"));
    assert!(answers.iter().any(|answer| answer.fallback.is_some()), "stable answered for it");
    let moves = moves(&admin.history());
    assert_eq!(moves.iter().filter(|line| line.contains("promoted>demoted")).count(), 1, "{moves:?}");
}

#[test]
fn a_breach_after_promotion_goes_back_without_a_load() {
    breaks_after_promotion("50ms", false);
}

#[test]
fn a_breach_before_the_promotion_was_seen_goes_back_without_a_load() {
    breaks_after_promotion("3s", false);
}

#[test]
fn a_breach_after_promotion_and_a_kill_goes_back_without_a_load() {
    breaks_after_promotion("50ms", true);
}
