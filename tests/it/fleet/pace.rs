//! How soon a fleet sees that a canary is bad, beside one replica alone. Many models roll out at once: each is a run.

use std::time::Instant;

use perch_testkit::{Models, Postgres, wait};
use serde_json::json;

use super::load::{CLIENTS, Load};
use super::{Fleet, REPLICAS};
use crate::rollout_life::{Admin, MODEL, Site};

/// Canary executions a second, in all.
const RATE: u32 = 20;
const POLICY: &str = "analysis: {metrics: [{name: errors, type: error-rate, max: 0.01}]}\n\
                      strategy: {canary: {steps: [{setWeight: 100}, {pause: {}}]}}\n\
                      routing: {fallback: {burst: 100000}}\n\
                      fleet: {maxReplicas: 10}\n";

/// Runs at once: five, or as many as `PERCH_FLEET_RUNS` says.
fn runs() -> usize {
    std::env::var("PERCH_FLEET_RUNS").map_or(5, |text| text.parse().expect("a number of runs"))
}

/// Executions of the canary of each model, from the first bad request to the last execution; the median, and all.
fn executions(store: String, replicas: usize, bad_one_in: u32) -> (usize, Vec<usize>) {
    let site = Site::on_store(store, POLICY);
    let models: Vec<String> = (0..runs()).map(|run| format!("run{run}")).collect();
    let example = Models::with(&[MODEL]);
    for model in &models {
        site.models.add(&example.path().join(MODEL), model);
    }
    let mut fleet = Fleet::start_quietly(site, replicas);
    for model in &models {
        fleet.site.models.set_alias(model, "canary", 3);
    }
    let of = |fleet: &Fleet, model: &str| -> Vec<Admin> {
        fleet.admins().into_iter().map(|admin| admin.named(model)).collect()
    };
    for model in &models {
        for admin in of(&fleet, model) {
            admin.wait("100 %", |view| view["weight"] == json!(100.0));
        }
    }
    let load = Load::start(&fleet.addresses, &models, RATE);
    load.next(models.len() * 20);
    load.poison(bad_one_in);
    let since = Instant::now();
    for model in &models {
        for admin in of(&fleet, model) {
            wait::until_true("demoted", || admin.view()["state"] == "demoted");
        }
    }
    let mut counts = vec![0; models.len()];
    load.end()
        .iter()
        .filter(|answer| answer.sent >= since && answer.tried)
        .for_each(|answer| counts[answer.model] += 1);
    fleet.replicas.clear();
    let all = counts.clone();
    counts.sort_unstable();
    (counts[counts.len() / 2], all)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures that `make fleet-pace` is run for")]
fn three_replicas_need_hardly_more_executions_than_one() {
    let folder = perch_testkit::state::folder();
    let alone = executions(format!("sqlite://{}", folder.path().join("alone.db").display()), 1, 10);
    let together = executions(Postgres::shared().schema(), REPLICAS, 10);
    println!(
        "10 % broken, {RATE} executions/s: alone {} {:?}, together {} {:?}",
        alone.0, alone.1, together.0, together.1
    );
    // Medians of twenty are compared as promised; those of five scatter.
    let most = if runs() >= 20 { 2 } else { 4 };
    assert!(together.0 <= most * alone.0, "{together:?} executions on three replicas, {alone:?} on one");
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures that `make fleet-pace` is run for")]
fn a_canary_that_always_fails_is_out_after_a_few_executions_of_each() {
    let (median, all) = executions(Postgres::shared().schema(), REPLICAS, 1);
    println!("all broken: {median} {all:?}");
    // minFailures is 3. On a machine that has other things to do, each of the clients has one more in flight.
    let in_flight = if runs() >= 20 { 0 } else { CLIENTS as usize };
    assert!(all.iter().all(|count| *count <= REPLICAS * 4 + in_flight), "{all:?}");
}
