//! Replicas whose clocks are wrong by ten minutes.

use std::time::Duration;

use perch_testkit::{PerchProcess, Postgres, scripts, wait};
use serde_json::json;

use super::{Fleet, seconds, watch_end};
use crate::rollout_life::{MODEL, Site, steps};

#[test]
fn clocks_ten_minutes_apart_change_nothing() {
    let library = scripts::faketime();
    let mut fleet = Fleet::start(Site::on_store(Postgres::shared().schema(), &steps("1s")), 1);
    fleet.kill(0);
    fleet.replicas.clear();
    for (place, offset) in ["+0", "+600", "-600"].into_iter().enumerate() {
        let mut command = fleet.site.command();
        command.env("LD_PRELOAD", &library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let perch = PerchProcess::spawn(&mut command);
        perch.wait_ready();
        fleet.replicas.push(None);
        fleet.settle(place, perch);
    }
    fleet.wait_seen(3);
    let load = fleet.load(150);
    fleet.site.models.set_alias(MODEL, "canary", 2);
    fleet.wait_all("held", |view| view["state"] == "idle" && view["stable"]["version"] == "2");
    fleet.site.wait_aliases(&json!({"stable": 2, "previous": 1}));
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("a canary at work", |view| view["weight"].as_f64() > Some(0.0));
    load.poison(1);
    watch_end(&fleet.admins()).assert_within(Duration::from_secs(1));
    let views = fleet.wait_all("demoted", |view| view["state"] == "demoted");
    load.end();
    // Whoever wrote a row of the history, it was the store's time.
    let history = fleet.admin().history();
    let times: Vec<f64> = history.iter().rev().map(|row| seconds(row, "at")).collect();
    assert!(times.is_sorted_by(|earlier, later| *earlier <= later + 0.1), "{times:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!(times.iter().all(|time| (time - now).abs() < 300.0), "{times:?} at {now}");
    let quarantine: Vec<f64> = views.iter().map(|view| seconds(&view["quarantine"][0], "until")).collect();
    assert!(quarantine.iter().all(|until| (until - quarantine[0]).abs() < 1e-9), "{quarantine:?}");
    wait::until_true("all told of the same time", || {
        let times: Vec<f64> = fleet.admins().iter().map(|admin| seconds(&admin.view(), "updatedAt")).collect();
        times.iter().all(|time| (time - times[0]).abs() < 3.0)
    });
}
