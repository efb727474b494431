//! MLflow and MinIO that die, and perch that is started without them.

use perch_testkit::{Services, Store};

use super::{Setup, answers, assert_steady, external, steady};

#[test]
fn services_that_die_are_not_missed_and_followed_when_they_are_back() {
    let services = Services::own();
    let (name, registrar) = ("outlived", services.registrar());
    for version in 1..=4 {
        assert_eq!(registrar.log_folder(name, &external(), Store::Direct), version);
    }
    registrar.set_alias(name, "stable", 1);
    let setup = Setup::new(&services).models(&format!("[{{name: {name}}}]"));
    let perch = setup.ready();
    let load = steady(&perch, name);

    services.kill_mlflow();
    let registry = perch.health().wait_registry("MLflow is down", |registry| registry["state"] == "unreachable");
    assert!(registry.get("servingFromCacheAsOf").is_none(), "it has been heard of: {registry}");
    assert_eq!(perch.get("/health/ready").status, 200);
    services.start_mlflow();
    registrar.set_alias(name, "stable", 2);
    perch.health().wait_serving(name, "stable", 2);

    services.kill_minio();
    registrar.set_alias(name, "stable", 3);
    let error = perch.health().wait_failed(name, 3);
    assert!(error.contains("s3://"), "{error}");
    assert_eq!(answers(&perch, name), "2");
    services.start_minio();
    perch.health().wait_serving(name, "stable", 3);
    assert_steady(load);

    services.kill_mlflow();
    services.kill_minio();
    perch.kill();
    let perch = setup.ready();
    let load = steady(&perch, name);
    assert_eq!(answers(&perch, name), "3");
    let registry = perch.health().wait_registry("both are down", |registry| registry["state"] == "unreachable");
    assert!(registry["servingFromCacheAsOf"].is_string() && registry["lastSuccess"].is_null(), "{registry}");
    services.start_minio();
    services.start_mlflow();
    registrar.set_alias(name, "stable", 4);
    perch.health().wait_serving(name, "stable", 4);
    let registry = perch.health().registry();
    assert_eq!((registry["state"].as_str(), registry.get("servingFromCacheAsOf")), (Some("ready"), None), "{registry}");
    assert_steady(load);
}
