//! Rollouts of models in a real MLflow: aliases and tags that are moved there, now or when it is back.

use std::collections::BTreeMap;

use perch_testkit::fault::Mode;
use perch_testkit::models::source;
use perch_testkit::process::command;
use perch_testkit::{FaultProxy, PerchProcess, Registrar, Services, Store, wait};
use serde_json::json;
use tempfile::TempDir;

use super::traffic::{Traffic, assert_all};
use super::{Admin, MODEL, steps};
use crate::PERCH;

fn registrar() -> &'static Registrar {
    Services::shared().registrar()
}

/// The example's versions, `stable` and `canary`, in MLflow.
fn register(name: &str, versions: u64) {
    for version in 1..=versions {
        let folder = source(MODEL).join(version.to_string());
        let example = json!({"features": [vec![0; 16]]});
        assert_eq!(registrar().log_onnx(name, &folder, Store::Proxied, Some(&example)), version);
    }
    registrar().set_alias(name, "stable", 1);
}

fn start(dir: &TempDir, name: &str, mlflow: &str, more: &str) -> PerchProcess {
    let (policy, config) = (dir.path().join("policy.yaml"), dir.path().join("perch.yaml"));
    std::fs::write(&policy, steps("60s")).expect("written");
    let (cache, state) = (dir.path().join("cache"), dir.path().join("state.db"));
    let services = Services::shared();
    let text = format!(
        "registry: {{uri: \"{mlflow}\", poll: 300ms, rollout: \"{}\"{more}}}\nmodels: [{{name: {MODEL}, source: {name}}}]\n\
         artifacts: {{cache: \"{}\", s3Endpoint: \"{}\"}}\nserver: {{drain: {{delay: 0s}}}}\nstate: \"sqlite://{}\"\n",
        policy.display(),
        cache.display(),
        services.minio(),
        state.display()
    );
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let mut command =
        command(PERCH, &["serve", "--config", &config, "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.env("AWS_ACCESS_KEY_ID", services.access_key()).env("AWS_SECRET_ACCESS_KEY", services.secret_key());
    let perch = PerchProcess::spawn(&mut command);
    perch.wait_ready();
    perch
}

fn wait_aliases(name: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = expected.iter().map(|(alias, to)| ((*alias).to_owned(), *to)).collect();
    wait::until_ok("aliases", || {
        let aliases = registrar().get_aliases(name);
        if aliases == expected { Ok(()) } else { Err(format!("{aliases:?}, expected {expected:?}")) }
    });
}

#[test]
fn promotions_and_demotions_are_written_to_mlflow() {
    let (name, dir) = ("life-written", perch_testkit::state::folder());
    register(name, 3);
    registrar().set_alias(name, "canary", 3);
    let perch = start(&dir, name, Services::shared().mlflow(), "");
    let (admin, load) = (Admin::of(&perch), Traffic::start(perch.address(), 200));
    admin.wait("it is tried", |view| view["weight"] == json!(20.0));
    load.poison(true);
    admin.wait_state("demoted");
    load.poison(false);
    let tags = wait::until("tags", || {
        Some(registrar().get_version_tags(name, 3)).filter(|tags| tags.contains_key("perch.rollout.at"))
    });
    assert_eq!(tags["perch.rollout.state"], "demoted");
    assert!(tags["perch.rollout.reason"].contains("errors"), "{tags:?}");
    wait_aliases(name, &[("canary", 3), ("stable", 1)]);
    registrar().set_alias(name, "canary", 2);
    admin.wait_state("promoted");
    wait_aliases(name, &[("previous", 1), ("stable", 2)]);
    let tags = wait::until("tags", || {
        Some(registrar().get_version_tags(name, 2)).filter(|tags| tags.contains_key("perch.rollout.at"))
    });
    assert_eq!(tags["perch.rollout.state"], "promoted");
    assert_all(&load.next(20), "2", "canary");
    load.end();
}

#[test]
fn an_alias_is_moved_when_mlflow_is_back_and_a_late_promotion_does_not_come_back() {
    let (name, dir) = ("life-away", perch_testkit::state::folder());
    register(name, 3);
    let proxy = FaultProxy::start(Services::shared().mlflow_address());
    let perch = start(&dir, name, &proxy.url(), "");
    let (admin, load) = (Admin::of(&perch), Traffic::start(perch.address(), 200));
    registrar().set_alias(name, "canary", 3);
    admin.wait("60 %", |view| view["weight"] == json!(60.0));
    proxy.set(Mode::answer(503, "text/plain", "down"));
    admin.wait_state("promoted");
    assert_all(&load.next(50), "3", "canary");
    assert_eq!(registrar().get_aliases(name).get("stable"), Some(&1), "it is on its way");
    let scrape = || perch_testkit::metrics::Scrape::parse(perch.get("/metrics").text());
    wait::until_true("pending is shown", || scrape().sum("perch_outbox_pending", &[("queue", "registry")]) > 0.0);
    proxy.set(Mode::Pass);
    wait_aliases(name, &[("previous", 1), ("stable", 3)]);
    load.poison(true);
    admin.wait_state("demoted");
    assert_all(&load.next(50), "1", "stable");
    wait_aliases(name, &[("previous", 1), ("stable", 1)]);
    assert_all(&load.next(300), "1", "stable");
    load.end();
}

#[test]
fn where_aliases_are_not_written_the_promotion_waits_for_somebody() {
    let (name, dir) = ("life-by-hand", perch_testkit::state::folder());
    register(name, 2);
    registrar().set_alias(name, "canary", 2);
    let perch = start(&dir, name, Services::shared().mlflow(), ", writeBack: {aliases: false}");
    let (admin, load) = (Admin::of(&perch), Traffic::start(perch.address(), 200));
    admin.wait_state("promoted");
    assert_all(&load.next(300), "2", "canary");
    wait_aliases(name, &[("canary", 2), ("stable", 1)]);
    registrar().set_alias(name, "stable", 2);
    admin.wait("it has arrived", |view| view["stable"]["version"] == "2" && view["state"] == "promoted");
    assert_all(&load.next(50), "2", "canary");
    load.end();
}
