//! kill -9 of any replica at any moment: each rollout ends once, and all that is told of it arrives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use perch_testkit::{Postgres, wait};
use serde_json::{Value, json};

use super::load::Load;
use super::{Fleet, REPLICAS};
use crate::rollout_life::receiver::Receiver;
use crate::rollout_life::{MODEL, Site, short, steps};

/// Rollouts: six, or as many as `PERCH_FLEET_KILLS` says.
fn rounds() -> usize {
    std::env::var("PERCH_FLEET_KILLS").map_or(6, |text| text.parse().expect("a number of rollouts"))
}

/// Brings one rollout to its end, and kills a replica on the way.
fn round(fleet: &mut Fleet, load: &Load, number: usize) -> &'static str {
    let stable = fleet.admin().view()["stable"]["version"].as_str().expect("a version").to_owned();
    let demotes = fastrand::bool();
    let canary = if demotes {
        3
    } else if stable == "1" {
        2
    } else {
        1
    };
    fleet.site.models.set_alias(MODEL, "canary", canary);
    let canary = canary.to_string();
    if demotes && number > 0 {
        // It rests since an earlier round: this is by force, once all have seen it.
        fleet.wait_all("it is seen", |view| view["canary"]["version"] == json!(canary));
        wait::until_true("a new start", || {
            let view = fleet.admin().view();
            view["state"] == "progressing" || fleet.admin().post("retry", &json!({"force": true})).status == 200
        });
    }
    let victim = fastrand::usize(..REPLICAS);
    let moment = Instant::now() + Duration::from_millis(fastrand::u64(..if demotes { 1500 } else { 5000 }));
    let expected = if demotes { "demoted" } else { "idle" };
    let mut killed = false;
    let deadline = Instant::now() + wait::LONG;
    loop {
        if !killed && Instant::now() >= moment {
            fleet.kill(victim);
            std::thread::sleep(Duration::from_millis(fastrand::u64(..700)));
            fleet.revive(victim);
            killed = true;
        }
        let view = fleet.admin().view();
        let at_weight = view["weight"].as_f64() > Some(0.0) && view["canary"]["version"] == "3";
        load.poison(u32::from(demotes && at_weight));
        let over = view["state"] == expected
            && if demotes {
                at_weight || view["rollout"].is_null()
            } else {
                view["stable"]["version"] == json!(canary)
            };
        if killed && over && view["state"] == expected && !at_weight {
            break;
        }
        assert!(Instant::now() < deadline, "{number}: {}", short(&view));
        std::thread::sleep(Duration::from_millis(20));
    }
    load.poison(0);
    let number = |version: &str| version.parse::<u64>().expect("a number");
    let serving = if demotes { stable } else { canary };
    fleet.wait_all("the same everywhere", |view| {
        view["state"] == expected && view["stable"]["version"] == json!(serving)
    });
    wait::until_ok("the registry agrees", || {
        let aliases = fleet.site.aliases();
        let agrees = aliases["stable"] == json!(number(&serving)) && (demotes || aliases["canary"].is_null());
        if agrees { Ok(()) } else { Err(aliases.to_string()) }
    });
    fleet.site.models.delete_alias(MODEL, "canary");
    fleet.wait_all("no canary", |view| view["canary"].is_null() || view["state"] == "demoted");
    if demotes { "demoted" } else { "promoted" }
}

#[test]
#[expect(clippy::print_stdout, reason = "what `make fleet-kills` is run for")]
fn each_rollout_ends_once_whoever_is_killed() {
    fastrand::seed(7);
    let receiver = Receiver::start();
    let told = format!("notifications: [{{type: webhook, url: \"{}\"}}]\n", receiver.url("/hook"));
    let site = Site::on_store(Postgres::shared().schema(), &format!("{}{told}", steps("500ms")));
    let mut fleet = Fleet::start(site, REPLICAS);
    let load = fleet.load(120);
    let ends: Vec<&str> = (0..rounds()).map(|number| round(&mut fleet, &load, number)).collect();
    load.end();
    let history = fleet.admin().history();
    let reached: Vec<&Value> = history
        .iter()
        .rev()
        .filter(|row| row["from"] != row["to"] && (row["to"] == "promoted" || row["to"] == "demoted"))
        .collect();
    assert!(reached.iter().map(|row| row["to"].as_str().unwrap_or_default()).eq(ends.iter().copied()), "{history:#?}");
    let generations: Vec<u64> = history.iter().rev().filter_map(|row| row["generation"].as_u64()).collect();
    assert_eq!(generations, (1..=generations.len() as u64).collect::<Vec<_>>(), "no change without its row");
    // Each key at least once, and always with the same message.
    for row in reached {
        let part = format!("/{}/{}/webhook/", row["generation"], row["to"].as_str().unwrap_or_default());
        wait::until_true(&part, || receiver.told().iter().any(|told| told.key.contains(&part)));
    }
    let mut keys: BTreeMap<String, Value> = BTreeMap::new();
    for told in receiver.told() {
        let known = keys.entry(told.key.clone()).or_insert_with(|| told.body.clone());
        assert_eq!(*known, told.body, "two messages under {}", told.key);
    }
    for what in ["promoted", "demoted"] {
        let told = keys.keys().filter(|key| key.contains(&format!("/{what}/"))).count();
        assert_eq!(told, ends.iter().filter(|end| **end == what).count(), "{what}: {keys:?}");
    }
    println!("{ends:?}, {} messages", keys.len());
}
