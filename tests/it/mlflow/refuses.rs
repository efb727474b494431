//! What is not what it should be is never served, and what is served goes on.

use std::fs;
use std::path::Path;

use perch_testkit::fault::Mode;
use perch_testkit::{FaultProxy, PerchProcess, Registrar, Services, Store};
use serde_json::Value;

use super::{Setup, answers, assert_steady, external, flip, refresh, register, register_again, steady};

/// The digest of what is served.
fn digest(perch: &PerchProcess, model: &str) -> String {
    let versions = perch.health().model(model)["versions"].take();
    versions[0]["digest"].as_str().expect("a digest").to_owned()
}

fn registrar() -> &'static Registrar {
    Services::shared().registrar()
}

#[test]
fn a_model_of_another_flavor_is_refused_and_says_what_to_do() {
    let name = "flavored";
    register(name, Store::Proxied);
    let setup = Setup::of(name);
    let perch = setup.ready();
    let load = steady(&perch, name);
    assert_eq!(registrar().log_sklearn(name), 2);
    registrar().set_alias(name, "stable", 2);
    let error = perch.health().wait_failed(name, 2);
    assert!(error.contains("sklearn") && error.contains("mlflow.onnx.log_model"), "{error}");
    assert_eq!(answers(&perch, name), "1");
    assert_eq!(perch.get("/health/ready").status, 200);
    assert_steady(load);
    assert!(setup.leavings().is_empty(), "nobody goes on with it");
}

#[test]
fn a_version_is_served_only_if_it_has_the_digest_that_its_tag_names() {
    let name = "sealed";
    register(name, Store::Proxied);
    let setup = Setup::of(name);
    let perch = setup.ready();
    let right = digest(&perch, name);
    assert_eq!(register_again(name), 2);
    let wrong = format!("sha256:{}", "0".repeat(64));
    registrar().set_version_tag(name, 2, "perch.sha256", &wrong);
    registrar().set_alias(name, "stable", 2);
    let error = perch.health().wait_failed(name, 2);
    assert!(error.contains(&wrong) && error.contains(&right), "{error}");
    assert_eq!(answers(&perch, name), "1");
    registrar().set_version_tag(name, 2, "perch.sha256", &right);
    refresh(&perch, name);
    assert_eq!(perch.health().wait_serving(name, "stable", 2)["digest"], right.as_str());
    assert_eq!(answers(&perch, name), "2");
}

#[test]
fn an_object_that_was_changed_in_the_bucket_is_refused() {
    for (name, store) in [("changed-proxied", Store::Proxied), ("changed-direct", Store::Direct)] {
        register(name, store);
        let setup = Setup::of(name);
        let perch = setup.ready();
        let right = digest(&perch, name);
        assert_eq!(registrar().log_folder(name, &external(), store), 2);
        registrar().set_version_tag(name, 2, "perch.sha256", &right);
        let weights = format!("{}/weights.bin", registrar().prefix(name, 2));
        registrar().flip_byte(&weights);
        registrar().set_alias(name, "stable", 2);
        let error = perch.health().wait_failed(name, 2);
        assert!(error.contains(&right), "{error}");
        assert_eq!(answers(&perch, name), "1");
        registrar().flip_byte(&weights);
        refresh(&perch, name);
        assert_eq!(perch.health().wait_serving(name, "stable", 2)["digest"], right.as_str());
    }
}

const DAMAGES: [&str; 5] = ["weights", "graph", "manifest", "a hash in the manifest", "weights that are gone"];

/// Does one of these to a cached version.
fn damage(entry: &Path, what: &str) {
    let (weights, manifest) = (entry.join("files/weights.bin"), entry.join("manifest.json"));
    match what {
        "weights" => flip(&weights, 0),
        "graph" => flip(&entry.join("files/model.onnx"), 40),
        "manifest" => flip(&manifest, 0),
        "a hash in the manifest" => {
            let text = fs::read_to_string(&manifest).expect("a manifest");
            flip(&manifest, text.find("sha256\": \"").expect("a hash") + 12);
        }
        _ => fs::remove_file(&weights).expect("removed"),
    }
}

#[test]
fn a_damaged_cache_is_downloaded_again_and_never_served() {
    let name = "damaged";
    register(name, Store::Direct);
    let proxy = FaultProxy::start(Services::shared().minio_address());
    let setup = Setup::of(name).minio_by(&proxy);
    let perch = setup.ready();
    let right = digest(&perch, name);
    perch.stop();
    let entry = setup.cached(name, 1);
    let bytes = proxy.bytes();
    setup.ready().stop();
    assert_eq!(proxy.bytes(), bytes, "what is whole is not downloaded again");
    for what in DAMAGES {
        damage(&entry, what);
        let perch = setup.ready();
        assert_eq!(digest(&perch, name), right, "{what}");
        assert_eq!(answers(&perch, name), "1", "{what}");
        let log = perch.log();
        assert!(log.iter().any(|line| line.contains("a cached artifact is damaged")), "{what}: {log:?}");
        perch.stop();
        assert_eq!(setup.cached(name, 1), entry, "{what}");
        // With MinIO away there is nothing to be served.
        damage(&entry, what);
        proxy.set(Mode::Refuse);
        let perch = setup.start();
        let error = perch.health().wait_failed(name, 1);
        assert!(error.contains("s3://"), "{what}: {error}");
        assert_eq!(perch.get("/health/ready").status, 503, "{what}");
        let asked = perch.client().post(super::question(name).body);
        assert_eq!(asked.error(503).0, "not_ready", "{what}");
        proxy.set(Mode::Pass);
        refresh(&perch, name);
        perch.wait_ready();
        let served: Value = perch.health().model(name)["versions"][0]["digest"].take();
        assert_eq!((served.as_str(), answers(&perch, name).as_str()), (Some(right.as_str()), "1"), "{what}");
        perch.stop();
    }
    assert!(setup.leavings().is_empty());
}
