//! What perch writes to MLflow.

use std::collections::BTreeMap;

use perch_testkit::fault::Mode;
use perch_testkit::{FaultProxy, Registrar, Services, Store, wait};
use serde_json::json;

use super::{Setup, answers, assert_steady, register, register_again, steady};

type Tags = BTreeMap<String, String>;

fn registrar() -> &'static Registrar {
    Services::shared().registrar()
}

fn wait_tags(name: &str, version: u64, condition: impl Fn(&Tags) -> bool) -> Tags {
    wait::until_ok(&format!("tags of {name} {version}"), || {
        let tags = registrar().get_version_tags(name, version);
        if condition(&tags) { Ok(tags) } else { Err(format!("{tags:?}")) }
    })
}

fn tag<'t>(tags: &'t Tags, key: &str) -> &'t str {
    tags.get(key).map_or("", String::as_str)
}

#[test]
fn versions_are_tagged_with_how_they_were_loaded() {
    let name = "tagged-versions";
    register(name, Store::Proxied);
    assert_eq!(registrar().log_sklearn(name), 2);
    registrar().set_alias(name, "canary", 2);
    let setup = Setup::of(name);
    let perch = setup.ready();
    let tags = wait_tags(name, 1, |tags| tags.len() == 2);
    let digest = perch.health().model(name)["versions"][0]["digest"].take();
    assert_eq!(json!(tags), json!({"perch.state": "ready", "perch.sha256": digest}));
    let tags = wait_tags(name, 2, |tags| tags.contains_key("perch.error"));
    assert!(tag(&tags, "perch.error").contains("mlflow.onnx.log_model"), "{tags:?}");
    let tags = wait_tags(name, 2, |tags| tags.contains_key("perch.state"));
    assert_eq!(tag(&tags, "perch.state"), "failed");
    assert!(!tags.contains_key("perch.sha256"), "{tags:?}");
}

#[test]
fn the_error_goes_from_the_tags_when_the_version_is_loaded_after_all() {
    let name = "recovered";
    register(name, Store::Proxied);
    registrar().set_version_tag(name, 1, "perch.sha256", &"0".repeat(64));
    let setup = Setup::of(name);
    let perch = setup.start();
    let error = perch.health().wait_failed(name, 1);
    let right = error.rsplit("got ").next().and_then(|rest| rest.split_whitespace().next()).expect("the digest");
    wait_tags(name, 1, |tags| tag(tags, "perch.state") == "failed" && !tag(tags, "perch.error").is_empty());
    registrar().set_version_tag(name, 1, "perch.sha256", right);
    perch.wait_ready();
    let tags = wait_tags(name, 1, |tags| tag(tags, "perch.state") == "ready" && tag(tags, "perch.error").is_empty());
    assert_eq!(tag(&tags, "perch.sha256"), right);
}

#[test]
fn nothing_is_written_where_that_is_switched_off() {
    let name = "untagged";
    register(name, Store::Proxied);
    assert_eq!(register_again(name), 2);
    let setup = Setup::of(name).set("registry.writeBack.tags", "false");
    let perch = setup.ready();
    registrar().set_alias(name, "stable", 2);
    perch.health().wait_serving(name, "stable", 2);
    assert_eq!(perch.health().registry().get("writeBack"), None);
    perch.stop();
    assert_eq!((registrar().get_version_tags(name, 1), registrar().get_version_tags(name, 2)), Default::default());
}

#[test]
fn a_write_that_is_refused_is_shown_and_made_later() {
    let name = "refused-writes";
    register(name, Store::Proxied);
    let proxy = FaultProxy::start(Services::shared().mlflow_address());
    let refusal =
        Mode::answer(403, "application/json", r#"{"error_code": "PERMISSION_DENIED", "message": "read only"}"#);
    proxy.set_for("/model-versions/set-tag", refusal);
    let setup = Setup::of(name).mlflow_by(&proxy);
    let perch = setup.ready();
    let load = steady(&perch, name);
    let registry = perch.health().wait_registry("refused", |registry| registry["writeBack"]["error"].is_string());
    assert_eq!((&registry["state"], &registry["writeBack"]["pending"]), (&json!("ready"), &json!(2)), "{registry}");
    let error = registry["writeBack"]["error"].as_str().expect("a reason");
    assert!(error.contains("403") && error.contains("read only"), "{error}");
    assert_eq!(perch.get("/health/ready").status, 200);
    assert_eq!(answers(&perch, name), "1");
    assert!(registrar().get_version_tags(name, 1).is_empty());
    proxy.set(Mode::Pass);
    perch.health().wait_registry("taken", |registry| registry.get("writeBack").is_none());
    assert_eq!(tag(&registrar().get_version_tags(name, 1), "perch.state"), "ready");
    assert_steady(load);
}
