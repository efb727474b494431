//! The store is away: requests do not notice, nothing is promoted, each replica judges by itself, and what it took out is
//! stored when the store is back.

use std::time::{Duration, Instant};

use perch_testkit::{Postgres, wait};
use serde_json::json;

use super::load::{quantile, share};
use super::{Fleet, REPLICAS, watch_end};
use crate::rollout_life::{MODEL, Site, policy, short};

/// How long the store is silent, and then gone: half of it each. A minute where times are compared.
fn away() -> Duration {
    let seconds = std::env::var("PERCH_AWAY_SECONDS").map_or(6, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures that `make fleet-away` is run for")]
fn nothing_is_lost_while_the_store_is_silent_or_gone() {
    let cluster = Postgres::own();
    // The first step is not over when the store goes, whatever the machine does meanwhile.
    let steps = "[{setWeight: 50}, {pause: {duration: 12s}}, {setWeight: 100}, {pause: {duration: 1s}}, {promote: {}}]";
    let fleet = Fleet::start(Site::on_store(cluster.schema(), &policy(steps)), REPLICAS);
    let load = fleet.load(150);
    let pause = away() / 2;
    std::thread::sleep(Duration::from_secs(1));
    let calm = Instant::now();
    std::thread::sleep(away());
    let before = load.since(calm);
    fleet.site.models.set_alias(MODEL, "canary", 2);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    let generation = fleet.admin().view()["generation"].clone();
    cluster.command("freeze");
    let gone = Instant::now();
    std::thread::sleep(pause);
    let views = fleet.wait_all("the store is away", |view| view["store"]["state"] == "unavailable");
    for view in &views {
        assert_eq!((&view["generation"], &view["weight"]), (&generation, &json!(50.0)), "{}", short(view));
    }
    cluster.command("kill");
    std::thread::sleep(pause);
    let during = load.since(gone);
    let clocks: Vec<_> = fleet.admins().iter().map(|admin| admin.view()["stepElapsed"].as_f64()).collect();
    let share = share(&during, |answer| answer.tried);
    assert!((0.45..0.55).contains(&share), "{share} of {} to the canary", during.len());
    let (was, is) = (quantile(&before, 0.99), quantile(&during, 0.99));
    println!("p99 {was:?} with the store ({} answers), {is:?} without ({})", before.len(), during.len());
    if std::env::var("PERCH_AWAY_SECONDS").is_ok() {
        assert!(is <= was.mul_f64(1.2), "p99 {is:?} without the store, {was:?} with it");
    }
    for view in fleet.wait_all("nothing changes", |_| true) {
        assert_eq!((&view["generation"], &view["weight"]), (&generation, &json!(50.0)), "{}", short(&view));
    }
    std::thread::sleep(Duration::from_millis(600));
    let later: Vec<_> = fleet.admins().iter().map(|admin| admin.view()["stepElapsed"].as_f64()).collect();
    assert_eq!(later, clocks, "clocks stand");
    cluster.command("start");
    fleet.wait_all("it goes on", |view| view["state"] == "promoted");
    fleet.site.wait_aliases(&json!({"stable": 2, "previous": 1}));
    let history = fleet.admin().history();
    assert_eq!(history.iter().filter(|row| row["to"] == "promoted" && row["from"] != "promoted").count(), 1);
    load.end();
}

#[test]
fn what_each_took_out_without_the_store_is_stored_once_it_is_back() {
    let cluster = Postgres::own();
    let fleet = Fleet::start(Site::on_store(cluster.schema(), &policy("[{setWeight: 50}, {pause: {}}]")), REPLICAS);
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    cluster.command("kill");
    load.poison(1);
    // Nobody hears of the others: each has to see it.
    watch_end(&fleet.admins());
    let views = fleet.wait_all("demoted", |view| view["state"] == "demoted");
    assert!(views.iter().all(|view| view["store"]["state"] == "unavailable"), "{views:?}");
    load.poison(0);
    cluster.command("start");
    let views = fleet.wait_all("stored", |view| view["store"]["state"] == "ready" && view["state"] == "demoted");
    wait::until_true("all agree", || {
        let views: Vec<_> = fleet.admins().iter().map(|admin| admin.view()["generation"].clone()).collect();
        views.iter().all(|generation| *generation == views[0])
    });
    let history = fleet.admin().history();
    let demotions = history.iter().filter(|row| row["to"] == "demoted" && row["from"] != "demoted").count();
    assert_eq!(demotions, 1, "{history:#?}");
    assert_eq!(views[0]["quarantine"].as_array().map(Vec::len), Some(1));
    wait::until_true("the tag", || fleet.site.tags("3")["perch.rollout.state"] == "demoted");
    load.end();
}

#[test]
fn a_replica_that_starts_without_the_store_serves_stable_and_remembers_what_rests() {
    let cluster = Postgres::own();
    let site = Site::on_store(cluster.schema(), &policy("[{setWeight: 50}, {pause: {}}]"));
    let cache = site.file("cache").display().to_string();
    let mut fleet = Fleet::start(site.argument("--cache").argument(&cache), 1);
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 %", |view| view["weight"] == json!(50.0));
    load.poison(1);
    fleet.wait_all("demoted", |view| view["state"] == "demoted");
    load.poison(0);
    load.end();
    wait::until_true("kept", || {
        let kept = std::fs::read_dir(&cache).expect("a folder").flatten();
        kept.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).any(|text| text.contains("\"demoted\""))
    });
    fleet.kill(0);
    cluster.command("kill");
    fleet.revive(0);
    let load = fleet.load(150);
    let answers = load.next(100);
    assert!(answers.iter().all(|answer| answer.version == "1" && !answer.tried));
    let perch = fleet.running().next().expect("it runs");
    let health = perch.health().all();
    assert_eq!((&health["status"], &health["store"]["state"]), (&json!("ready"), &json!("unavailable")), "{health}");
    // It is not even loaded: it was taken out before.
    assert!(crate::rollout_life::loads(perch) < 1.5);
    cluster.command("start");
    let view = fleet.admin().wait("the store", |view| view["store"]["state"] == "ready");
    assert_eq!((&view["state"], view["quarantine"].as_array().map(Vec::len)), (&json!("demoted"), Some(1)));
    load.end();
}
