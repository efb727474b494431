//! One rollout on three replicas: they judge it together, and whoever decides, all follow at once.

use std::time::Duration;

use perch_testkit::{PerchProcess, Postgres, wait};
use serde_json::{Value, json};

use super::{Fleet, REPLICAS, watch_end};
use crate::rollout_life::{Admin, MODEL, Site, policy, receiver::Receiver, steps};

/// A canary at half the weight until somebody says more.
const HALF: &str = "[{setWeight: 50}, {pause: {}}]";

#[test]
fn a_bad_canary_is_demoted_by_all_within_a_second_of_the_first() {
    let fleet = Fleet::of(&policy(HALF).replace("max: 0.1", "max: 0.01"));
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0) && view["fleet"]["seen"] == json!(REPLICAS));
    // A canary that goes well goes on everywhere, and each replica shows what all have counted.
    load.next(200);
    fleet.wait_all("what all have counted", |view| {
        let (n, own) = (view["metrics"][0]["n"].as_u64(), view["fleet"]["replicas"][0]["metrics"][0]["n"].as_u64());
        n > Some(60) && own.is_some_and(|own| own > 0) && n > own
    });
    let admins = fleet.admins();
    load.poison(10);
    watch_end(&admins).assert_within(Duration::from_secs(1));
    let views = fleet.wait_all("demoted", |view| view["state"] == "demoted");
    // One transition, by one of them, and all say the same of it.
    for view in &views {
        for key in ["generation", "reason", "lastChange", "quarantine", "rollout"] {
            assert_eq!(view[key], views[0][key], "{key}");
        }
        assert!(view["lastChange"]["who"].as_str().is_some_and(|who| who.starts_with("judge@")), "{view}");
    }
    let demotions = fleet.admin().history().iter().filter(|row| row["to"] == "demoted").count();
    assert_eq!(demotions, 1);
    let late = load.next(100);
    assert!(late.iter().all(|answer| answer.version == "1" && !answer.tried), "no request goes to it any more");
    load.end();
}

#[test]
fn a_good_canary_is_promoted_once() {
    let receiver = Receiver::start();
    let told = format!("notifications: [{{type: webhook, url: \"{}\"}}]\n", receiver.url("/hook"));
    let fleet = Fleet::of(&(steps("1s") + &told));
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 2);
    fleet.wait_all("held", |view| view["state"] == "idle" && view["stable"]["version"] == "2");
    fleet.site.wait_aliases(&json!({"stable": 2, "previous": 1}));
    assert_eq!(fleet.site.tags("2")["perch.rollout.state"], "promoted");
    let history = fleet.admin().history();
    let reached = |state: &str| history.iter().filter(|row| row["to"] == state && row["from"] != state).count();
    assert_eq!((reached("promoted"), reached("demoted"), reached("aborted")), (1, 0, 0), "{history:#?}");
    let mut keys: Vec<String> = receiver.wait("/hook", 2).into_iter().map(|told| told.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 2, "started and promoted: {keys:?}");
    wait::until_true("version 2 everywhere", || load.next(30).iter().all(|answer| answer.version == "2"));
    load.end();
}

/// The reasons that were said, in their order.
fn why_nobody_tells(perch: &PerchProcess) -> Vec<String> {
    let lines = perch.log().into_iter().filter(|line| line.contains("nobody tells of changes by other replicas"));
    let said = lines.map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
    said.map(|line| line["error"].as_str().expect("a reason").to_owned()).collect()
}

/// Where nobody can listen, others are seen by looking: that is said once, and takes a second at most.
#[test]
fn behind_a_pooler_changes_are_found_by_looking() {
    let cluster = Postgres::behind_a_pooler();
    let fleet = Fleet::start(Site::on_store(cluster.schema(), &policy(HALF)), REPLICAS);
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    let admins = fleet.admins();
    load.poison(2);
    watch_end(&admins).assert_within(Duration::from_secs(1));
    load.end();
    for perch in fleet.running() {
        // Whoever asks whether it has a session may be given another one in the middle: that is a reason of its own, said
        // once as well, and it asks again.
        let said = wait::until("it is said", || {
            let said = why_nobody_tells(perch);
            said.iter().any(|why| why.contains("is there a pooler in transaction mode?")).then_some(said)
        });
        assert!(said.windows(2).all(|pair| pair[0] != pair[1]), "{said:?}");
        assert_eq!(perch.health().all()["store"]["state"], "ready");
    }
}

/// One that stands still for longer than others wait for it is left out, and counts again when it goes on.
#[test]
fn a_replica_that_stood_still_takes_part_again() {
    let fleet = Fleet::of(&policy(HALF));
    let load = fleet.load(90);
    fleet.site.models.set_alias(MODEL, "canary", 2);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    load.next(60);
    let still = fleet.replicas[2].as_ref().expect("running");
    fleet.addresses.set(2, None);
    still.signal("STOP");
    let watcher = Admin::of(fleet.replicas[0].as_ref().expect("running"));
    let n = |view: &Value| view["metrics"][0]["n"].as_u64().unwrap_or(0);
    watcher.wait("two replicas", |view| view["fleet"]["seen"] == json!(2));
    let before = n(&watcher.view());
    watcher.wait("the others go on", |view| n(view) > before + 30);
    still.signal("CONT");
    watcher.wait("three again", |view| view["fleet"]["seen"] == json!(3));
    // Requests go to it alone from here on.
    let address = still.address();
    (0..2).for_each(|place| fleet.addresses.set(place, None));
    fleet.addresses.set(2, Some(address));
    std::thread::sleep(Duration::from_secs(2));
    let before = n(&watcher.view());
    watcher.wait("what it counts is heard again", |view| n(view) > before + 30);
    load.end();
}
