//! A network that breaks, and disks that are full: what is served goes on, and afterwards perch follows again.

use std::fs;
use std::time::Duration;

use perch_testkit::fault::Mode;
use perch_testkit::process::command;
use perch_testkit::{FaultProxy, PerchProcess, Registrar, Services, Store};
use serde_json::{Value, json};

use super::{Setup, answers, assert_steady, external, outcome, padded, refresh, register, register_again, steady};
use crate::PERCH;

const MIB: usize = 1 << 20;

fn registrar() -> &'static Registrar {
    Services::shared().registrar()
}

/// The bytes of a file, as the proxy counts them.
fn size(bytes: usize) -> u64 {
    bytes as u64
}

/// Everything that an MLflow server can be but right, and what is said of it.
#[test]
fn whatever_mlflow_answers_the_models_go_on_and_follow_afterwards() {
    let name = "misanswered";
    register(name, Store::Proxied);
    registrar().set_alias(name, "canary", register_again(name));
    let proxy = FaultProxy::start(Services::shared().mlflow_address());
    let setup = Setup::of(name).mlflow_by(&proxy).set("registry.timeout", "3s");
    let perch = setup.ready();
    perch.health().wait_serving(name, "canary", 2);
    let load = steady(&perch, name);
    let faults = [
        ("stalls", Mode::Stall, "gave no answer"),
        ("is away", Mode::Refuse, "cannot be asked"),
        ("fails", Mode::answer(500, "text/plain", "Internal Server Error"), "500"),
        ("is a login page", Mode::answer(200, "text/html", "<html>\n<title>Log in</title>"), "Log in"),
        ("is empty", Mode::answer(200, "application/json", "{}"), "registered_model"),
        ("is cut", Mode::CutAfter(100), "cannot be asked"),
    ];
    for (what, fault, said) in faults {
        proxy.set(fault);
        let version = register_again(name);
        registrar().set_alias(name, "stable", version);
        // One that is slow at that moment may be said to give no answer first.
        let registry = perch.health().wait_registry(what, |registry| {
            registry["state"] == "unreachable" && registry["error"].as_str().is_some_and(|error| error.contains(said))
        });
        assert!(registry["lastSuccess"].is_string(), "{what}: {registry}");
        assert_eq!(perch.get("/health/ready").status, 200, "{what}");
        perch.health().wait_serving(name, "canary", 2);
        proxy.set(Mode::Pass);
        perch.health().wait_serving(name, "stable", version);
        perch.health().wait_registry(what, |registry| registry["state"] == "ready" && registry.get("error").is_none());
    }
    assert_steady(load);
}

#[test]
fn a_slow_mlflow_is_followed() {
    let name = "slow";
    register(name, Store::Proxied);
    let proxy = FaultProxy::start(Services::shared().mlflow_address());
    let setup = Setup::of(name).mlflow_by(&proxy);
    let perch = setup.ready();
    let load = steady(&perch, name);
    proxy.set(Mode::Delay(Duration::from_millis(700)));
    let version = register_again(name);
    registrar().set_alias(name, "stable", version);
    perch.health().wait_serving(name, "stable", version);
    assert_eq!(perch.health().registry()["state"], "ready");
    assert_steady(load);
}

#[test]
fn a_registry_that_forbids_everything_takes_nothing_with_it_not_even_from_the_next_process() {
    let name = "forbidden";
    register(name, Store::Proxied);
    let proxy = FaultProxy::start(Services::shared().mlflow_address());
    let setup = Setup::of(name).mlflow_by(&proxy);
    let perch = setup.ready();
    let load = steady(&perch, name);
    let refusal = r#"{"error_code": "PERMISSION_DENIED", "message": "the token has expired"}"#;
    proxy.set(Mode::answer(403, "application/json", refusal));
    let told = |error: &Value| error.as_str().is_some_and(|error| error.contains("the token has expired"));
    let is_told = |perch: &PerchProcess| {
        perch
            .health()
            .wait_model(name, "told", |model| told(&model["error"]) || told(&perch.health().registry()["error"]))
    };
    is_told(&perch);
    assert_eq!(answers(&perch, name), "1");
    assert_steady(load);
    perch.stop();
    let perch = setup.ready();
    assert_eq!(answers(&perch, name), "1", "from the cache");
    is_told(&perch);
    proxy.set(Mode::Pass);
    let version = register_again(name);
    registrar().set_alias(name, "stable", version);
    perch.health().wait_serving(name, "stable", version);
}

#[test]
fn wrong_keys_of_the_bucket_are_said_and_new_ones_help() {
    let name = "keyless";
    register(name, Store::Direct);
    let setup = Setup::of(name);
    setup.ready().stop();
    assert_eq!(register_again(name), 2);
    let setup = setup.variable("AWS_SECRET_ACCESS_KEY", "a wrong one");
    let perch = setup.ready();
    let load = steady(&perch, name);
    registrar().set_alias(name, "stable", 2);
    let error = perch.health().wait_failed(name, 2);
    assert!(error.contains("403"), "{error}");
    assert!(!error.contains("a wrong one"), "{error}");
    assert_eq!(answers(&perch, name), "1");
    assert_steady(load);
    perch.stop();
    let setup = setup.variable("AWS_SECRET_ACCESS_KEY", Services::shared().secret_key());
    assert_eq!(answers(&setup.ready(), name), "2");
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let name = "cut";
    let whole = padded(6 * MIB);
    register(name, Store::Direct);
    assert_eq!(registrar().log_folder(name, whole.path(), Store::Direct), 2);
    let proxy = FaultProxy::start(Services::shared().minio_address());
    let setup = Setup::of(name).minio_by(&proxy);
    let perch = setup.ready();
    let load = steady(&perch, name);
    let (bytes, connections) = (proxy.bytes(), proxy.connections());
    proxy.set(Mode::CutAfter(size(2 * MIB)));
    registrar().set_alias(name, "stable", 2);
    perch.health().wait_serving(name, "stable", 2);
    let (bytes, connections) = (proxy.bytes() - bytes, proxy.connections() - connections);
    assert!(bytes < size(7 * MIB), "{bytes} bytes for one of {}", 6 * MIB);
    // Those that were open carried some of it, and then were cut, too.
    assert!(connections >= 1, "never cut");
    assert_eq!(padding(&setup, name, 2), fs::read(whole.path().join("padding.bin")).expect("written before"));
    assert_steady(load);
}

/// What the cache has of the file beside the model.
fn padding(setup: &Setup, name: &str, version: u64) -> Vec<u8> {
    fs::read(setup.cached(name, version).join("files/padding.bin")).expect("cached")
}

#[test]
fn a_truncated_object_is_refused_until_it_is_whole() {
    let name = "truncated";
    register(name, Store::Direct);
    let setup = Setup::of(name);
    let perch = setup.ready();
    let load = steady(&perch, name);
    let digest = perch.health().model(name)["versions"][0]["digest"].take();
    for version in [2, 3] {
        assert_eq!(registrar().log_folder(name, &external(), Store::Direct), version);
    }
    // With and without a digest that it must have.
    registrar().set_version_tag(name, 3, "perch.sha256", digest.as_str().expect("a digest"));
    for (version, reason) in [(2, "not a usable ONNX graph"), (3, "expected sha256:")] {
        let weights = format!("{}/weights.bin", registrar().prefix(name, version));
        let whole = registrar().get_object(&weights);
        registrar().put_object(&weights, &whole[..whole.len() / 2]);
        registrar().set_alias(name, "stable", version);
        let error = perch.health().wait_failed(name, version);
        assert!(error.contains(reason), "{error}");
        assert_eq!(answers(&perch, name), "1");
        // Nobody tries it any more when it is whole, until it is asked for again.
        registrar().set_alias(name, "stable", 1);
        perch.health().wait_model(name, "forgotten", |model| model["versions"].as_array().map(Vec::len) == Some(1));
        registrar().put_object(&weights, &whole);
    }
    for version in [3, 2] {
        registrar().set_alias(name, "stable", version);
        refresh(&perch, name);
        assert_eq!(perch.health().wait_serving(name, "stable", version)["digest"], digest);
    }
    assert_steady(load);
}

#[test]
fn what_was_corrupted_on_its_way_is_refused_and_downloaded_again() {
    let name = "corrupted";
    register(name, Store::Direct);
    let proxy = FaultProxy::start(Services::shared().minio_address());
    let setup = Setup::of(name).minio_by(&proxy);
    let perch = setup.ready();
    let load = steady(&perch, name);
    let digest = perch.health().model(name)["versions"][0]["digest"].take();
    let digest = digest.as_str().expect("a digest");
    assert_eq!(register_again(name), 2);
    registrar().set_version_tag(name, 2, "perch.sha256", digest);
    proxy.set_for("/weights.bin", Mode::FlipByte { after: 2 });
    registrar().set_alias(name, "stable", 2);
    let error = perch.health().wait_failed(name, 2);
    assert!(error.contains(digest), "{error}");
    assert_eq!(answers(&perch, name), "1");
    proxy.set(Mode::Pass);
    refresh(&perch, name);
    assert_eq!(perch.health().wait_serving(name, "stable", 2)["digest"], digest);
    assert_steady(load);
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_gives_its_room_back() {
    let name = "too-full";
    let large = padded(4 * MIB);
    register(name, Store::Proxied);
    assert_eq!(registrar().log_folder(name, large.path(), Store::Proxied), 2);
    let setup = Setup::of(name);
    fs::create_dir(setup.cache()).expect("made");
    // A mount of its own, which nobody else sees.
    let mount = r#"mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@""#;
    let mut unshare = command("unshare", &["--map-root-user", "--mount", "sh", "-c", mount]);
    unshare.arg(setup.cache()).arg(PERCH).args(setup.arguments()).envs(&setup.variables);
    let perch = PerchProcess::spawn(&mut unshare);
    perch.wait_ready();
    let load = steady(&perch, name);
    registrar().set_alias(name, "stable", 2);
    let error = perch.health().wait_failed(name, 2);
    assert!(error.contains("No space left on device"), "{error}");
    assert_eq!(answers(&perch, name), "1");
    // It is seen from outside by way of the process.
    let cache = setup.cache();
    let cache = format!("/proc/{}/root{}", perch.id(), cache.display());
    registrar().set_alias(name, "stable", 1);
    perch
        .health()
        .wait_model(name, "as before", |model| model["versions"].as_array().is_some_and(|all| all.len() == 1));
    let left: Vec<_> = fs::read_dir(format!("{cache}/partial")).expect("seen").collect();
    assert!(left.is_empty(), "{left:?}");
    let version = register_again(name);
    registrar().set_alias(name, "stable", version);
    perch.health().wait_serving(name, "stable", version);
    assert_steady(load);
}

#[test]
fn a_download_that_is_killed_goes_on_in_the_next_process() {
    let name = "killed";
    let whole = padded(4 * MIB);
    assert_eq!(registrar().log_folder(name, whole.path(), Store::Direct), 1);
    registrar().set_alias(name, "stable", 1);
    let proxy = FaultProxy::start(Services::shared().minio_address());
    let setup = Setup::of(name).minio_by(&proxy);
    let perch = setup.start();
    proxy.set_for("/padding.bin", Mode::Throttle(size(MIB)));
    perch.health().wait_model(name, "half of it", |model| {
        model["versions"][0]["download"]["bytes"].as_u64().is_some_and(|bytes| bytes > size(2 * MIB))
    });
    perch.kill();
    let before = proxy.bytes();
    proxy.set(Mode::Pass);
    let perch = setup.ready();
    let again = proxy.bytes() - before;
    assert!(again < size(2 * MIB + MIB / 2), "{again} bytes for the other half of {}", 4 * MIB);
    assert_eq!(answers(&perch, name), "1");
    assert_eq!(padding(&setup, name, 1), fs::read(whole.path().join("padding.bin")).expect("written before"));
    assert!(setup.leavings().is_empty(), "{:?}", setup.leavings());
}

#[test]
fn processes_that_share_a_cache_download_once() {
    let name = "shared-cache";
    assert_eq!(registrar().log_folder(name, padded(4 * MIB).path(), Store::Direct), 1);
    registrar().set_alias(name, "stable", 1);
    let proxy = FaultProxy::start(Services::shared().minio_address());
    let setup = Setup::of(name).minio_by(&proxy);
    proxy.set(Mode::Throttle(size(4 * MIB)));
    let processes = [setup.start(), setup.start()];
    for perch in &processes {
        perch.wait_ready();
        assert_eq!(answers(perch, name), "1");
    }
    let bytes = proxy.bytes();
    assert!(bytes < size(5 * MIB), "{bytes} bytes for one of {}", 4 * MIB);
    assert!(setup.leavings().is_empty());
}

#[test]
fn the_cache_keeps_its_bound_and_what_is_in_use() {
    let (name, other) = ("bounded", "bounded-other");
    let (large, huge) = (padded(MIB), padded(4 * MIB));
    for name in [name, other] {
        assert_eq!(registrar().log_folder(name, large.path(), Store::Direct), 1);
        assert_eq!((register_again(name), register_again(name)), (2, 3));
    }
    assert_eq!(registrar().log_folder(name, huge.path(), Store::Direct), 4);
    registrar().set_alias(name, "stable", 1);
    let setup = Setup::of(name)
        .set("artifacts.maxSize", "2560KiB")
        .models(&format!("[{{name: {name}}}, {{name: {other}, required: false}}]"));
    let perch = setup.ready();
    let load = steady(&perch, name);
    let cached = || {
        let entries = fs::read_dir(setup.cache().join("artifacts")).expect("a cache");
        let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let mut versions: Vec<String> = names.map(|name| name.rsplit_once('-').expect("a key").0.to_owned()).collect();
        versions.sort();
        versions
    };
    for (version, expected) in [(2, ["bounded-1", "bounded-2"]), (3, ["bounded-2", "bounded-3"])] {
        registrar().set_alias(name, "stable", version);
        perch.health().wait_serving(name, "stable", version);
        assert_eq!(cached(), expected, "the one that was longest ago in use goes");
    }
    registrar().set_alias(name, "canary", 2);
    perch.health().wait_serving(name, "canary", 2);
    registrar().set_alias(other, "stable", 1);
    let error = perch.health().wait_failed(other, 1);
    assert!(error.contains("artifacts.maxSize is 2621440 bytes") && error.contains("in use"), "{error}");
    assert_eq!(cached(), ["bounded-2", "bounded-3"], "both are in use");
    registrar().set_alias(name, "stable", 4);
    let error = perch.health().wait_failed(name, 4);
    assert!(error.contains("but artifacts.maxSize is 2621440 bytes"), "{error}");
    assert_eq!(answers(&perch, name), "3");
    // With the canary gone there is room.
    registrar().delete_alias(name, "canary");
    perch.health().wait_serving(other, "stable", 1);
    assert_eq!(outcome(perch.health(), other, 1), None);
    assert_eq!(cached(), ["bounded-3", "bounded-other-1"]);
    assert_steady(load);
    assert_eq!(json!(setup.leavings()), json!([]));
}
