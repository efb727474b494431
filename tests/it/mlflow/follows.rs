//! Versions, aliases, stages and tags that change in MLflow, and what is served then.

use std::time::{Duration, Instant};

use perch_testkit::load::Load;
use perch_testkit::models::source;
use perch_testkit::{PerchProcess, Services, Store, wait};
use serde_json::{Value, json};

use super::{POLL, Setup, answers, register, register_again, scrape};
use crate::registry::questions;

/// What a busy machine may add to what is promised.
const SLACK: Duration = Duration::from_secs(10);

/// Logs a version of the real example as users do.
fn log_example(name: &str, version: u64, store: Store) {
    let folder = source("curve_forecaster").join(version.to_string());
    let example = json!({"features": [vec![0; 16]]});
    assert_eq!(Services::shared().registrar().log_onnx(name, &folder, store, Some(&example)), version);
}

/// Asks for every row of the example's holdout, and gives the version that answered each of them rightly.
fn ask_all(perch: &PerchProcess, model: &str) -> String {
    let mut client = perch.client();
    let answers = questions(model).into_iter().map(|question| question.check(&client.post(&question.body)));
    let versions: Result<Vec<String>, String> = answers.collect();
    let mut versions = versions.expect("right predictions");
    versions.dedup();
    assert_eq!(versions.len(), 1, "{versions:?}");
    versions.remove(0)
}

fn assert_follows(name: &str, store: Store) {
    let registrar = Services::shared().registrar();
    log_example(name, 1, store);
    registrar.set_alias(name, "stable", 1);
    let setup = Setup::of(name);
    let perch = setup.ready();
    assert_eq!(ask_all(&perch, name), "1");
    log_example(name, 2, store);
    let load = Load::paced(perch.address(), 4, 500, questions(name));
    load.wait_more(100);
    registrar.set_alias(name, "stable", 2);
    let moved = Instant::now();
    perch.health().wait_serving(name, "stable", 2);
    let took = moved.elapsed();
    load.wait_more(500);
    let tally = load.finish();
    assert_eq!(tally.failures, [] as [String; 0], "besides {:?}", tally.answers);
    assert!(tally.answers["1"] > 0 && tally.answers["2"] > 0, "{tally:?}");
    let of = [("model", name)];
    let seconds = ["perch_artifact_download_duration_seconds_sum", "perch_model_load_duration_seconds_sum"];
    let loading: f64 = seconds.iter().map(|metric| scrape(&perch).sum(metric, &of)).sum();
    let promised = POLL + Duration::from_secs_f64(loading);
    assert!(took < promised + SLACK, "{took:?}, expected {promised:?} and a little");
    assert_eq!(ask_all(&perch, name), "2");
}

#[test]
fn a_moved_alias_is_followed_through_mlflow() {
    assert_follows("moved-proxied", Store::Proxied);
}

#[test]
fn a_moved_alias_is_followed_from_the_bucket() {
    assert_follows("moved-direct", Store::Direct);
}

#[test]
fn weights_in_another_file_come_from_both_stores() {
    for (name, store) in [("weights-proxied", Store::Proxied), ("weights-direct", Store::Direct)] {
        register(name, store);
        let setup = Setup::of(name);
        assert_eq!(answers(&setup.ready(), name), "1");
        assert!(setup.cached(name, 1).join("files/weights.bin").is_file());
        assert!(setup.leavings().is_empty());
    }
}

#[test]
fn a_canary_is_loaded_until_its_alias_goes() {
    let (name, registrar) = ("canary", Services::shared().registrar());
    register(name, Store::Proxied);
    assert_eq!(register_again(name), 2);
    registrar.set_alias(name, "canary", 2);
    let setup = Setup::of(name);
    let perch = setup.ready();
    perch.health().wait_serving(name, "canary", 2);
    assert_eq!(answers(&perch, name), "1", "it gets no traffic");
    registrar.delete_alias(name, "canary");
    let versions = |model: &Value| model["versions"].as_array().map_or(0, Vec::len);
    perch.health().wait_model(name, "no canary", |model| versions(model) == 1);
    registrar.delete_alias(name, "stable");
    let model = perch.health().wait_model(name, "told", |model| model["error"].is_string());
    assert_eq!(model["error"], "no version carries the alias stable, still serving version 1");
    assert_eq!(answers(&perch, name), "1", "nothing takes away what works");
}

#[test]
fn versions_are_chosen_by_alias_stage_number_or_age() {
    let (source, registrar) = ("chosen", Services::shared().registrar());
    register(source, Store::Proxied);
    assert_eq!((register_again(source), register_again(source)), (2, 3));
    registrar.set_alias(source, "champion", 1);
    registrar.set_alias(source, "challenger", 2);
    registrar.transition_stage(source, 2, "Production");
    let setup = Setup::new(Services::shared())
        .set("registry.stable.alias", "champion")
        .set("registry.canary.alias", "challenger")
        .models(
            "[{name: by-alias, source: chosen}, {name: by-stage, source: chosen, stable: {stage: Production}},
               {name: by-number, source: chosen, stable: {version: 1}}, {name: by-age, source: chosen, stable: latest}]",
        );
    let perch = setup.ready();
    let served = || ["by-alias", "by-stage", "by-number", "by-age"].map(|model| answers(&perch, model));
    assert_eq!(served(), ["1", "2", "1", "3"]);
    perch.health().wait_serving("by-alias", "canary", 2);
    registrar.set_alias(source, "champion", 2);
    registrar.transition_stage(source, 3, "Production");
    assert_eq!(register_again(source), 4);
    wait::until_ok("all of them followed", || {
        let served = served();
        if served == ["2", "3", "1", "4"] { Ok(()) } else { Err(format!("{served:?}")) }
    });
}

#[test]
fn models_that_carry_the_tag_are_served_and_others_are_not() {
    let registrar = Services::shared().registrar();
    for name in ["tagged-first", "tagged-later", "tagged-other"] {
        register(name, Store::Proxied);
    }
    registrar.set_model_tag("tagged-first", "perch.serve", "true");
    registrar.set_model_tag("tagged-other", "perch.serve", "false");
    let setup = Setup::new(Services::shared());
    let perch = setup.ready();
    assert_eq!(answers(&perch, "tagged-first"), "1");
    assert!(perch.health().model("tagged-later").is_null());
    registrar.set_model_tag("tagged-later", "perch.serve", "true");
    perch.health().wait_serving("tagged-later", "stable", 1);
    assert_eq!(answers(&perch, "tagged-later"), "1");
    assert!(perch.health().model("tagged-other").is_null());
}
