//! What the health endpoints say, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use perch_testkit::fake::FakeLoader;
use perch_testkit::{Client, Models, TestServer, wait};
use serde_json::json;

#[test]
fn a_server_without_models_lives_and_is_never_ready() {
    let server = TestServer::builder(Models::with(&[])).start();
    wait::until_true("the registry was read", || server.get("/health/all").ok()["registry"]["state"] == "ready");
    for _ in 0..5 {
        assert_eq!(server.get("/health/live").ok(), json!({"status": "live"}));
        for path in ["/health", "/health/ready"] {
            let reply = server.get(path);
            assert_eq!((reply.status, reply.json()), (503, json!({"status": "not_ready"})), "{path}");
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(server.predict(&json!({"instances": [1]})).error(503).0, "not_ready");
    server.models.copy("external");
    server.wait_ready();
}

#[test]
fn a_server_is_ready_when_all_that_is_required_is_loaded() {
    let yaml = "models: [{name: external}, {name: iris, required: false}, {name: image}]";
    let server = TestServer::builder(Models::with(&["external"])).yaml(yaml).start();
    server.wait_serving("external", "stable", 1);
    let reply = server.get("/health/ready");
    assert_eq!((reply.status, reply.json()), (503, json!({"status": "not_ready", "waiting_for": ["image"]})));
    assert_eq!(server.get("/health/all").ok()["status"], "not_ready");
    server.models.copy("image");
    server.wait_ready();
    assert_eq!(server.model("iris")["ready"], false, "nobody waits for it");
    assert_eq!(server.get("/health/ready").ok(), json!({"status": "ready"}));
    assert_eq!(server.get("/health").ok(), json!({"status": "ready"}));
}

#[test]
fn a_model_that_appears_later_does_not_take_readiness_away() {
    let server = TestServer::with(&["external"]);
    server.models.copy("unknown_op");
    server.wait_model("unknown_op", "failed", |model| model["versions"][0]["state"] == "failed");
    assert_eq!(server.get("/health/ready").status, 200);
    assert_eq!(server.model("unknown_op")["required"], false);
}

#[test]
fn everything_is_told_about_every_model() {
    let server = TestServer::builder(Models::with(&["external", "unknown_op"])).start();
    server.wait_serving("external", "stable", 1);
    // It is ready a moment before that is stored.
    server.wait_model("external", "stored", |model| model["rollout"]["generation"] == 1);
    server.wait_model("unknown_op", "failed", |model| model["versions"][0]["state"] == "failed");
    let all = server.get("/health/all").ok();
    let mut keys: Vec<&String> = all.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    keys.sort();
    assert_eq!(keys, ["models", "registry", "status", "store"]);
    assert_eq!(all["store"], json!({"state": "ready"}));
    assert_eq!(all["registry"]["state"], "ready");
    assert!(all["registry"]["lastSuccess"].as_str().is_some_and(|time| time.ends_with('Z')), "{all}");

    let external = &all["models"][0];
    let digest = external["versions"][0]["digest"].as_str().expect("a digest");
    assert!(digest.len() == 71 && digest.starts_with("sha256:"), "{digest}");
    let expected = json!({"name": "external", "ready": true, "required": true, "versions": [
        {"version": "1", "track": "stable", "digest": digest, "state": "ready"},
    ], "rollout": {"state": "idle", "step": null, "steps": null, "weight": 0.0, "generation": 1, "reason": null}});
    assert_eq!(*external, expected);

    let unknown = &all["models"][1];
    assert_eq!((&unknown["name"], &unknown["ready"]), (&json!("unknown_op"), &json!(false)));
    let error = unknown["versions"][0]["error"].as_str().expect("a reason");
    assert!(error.contains("Frobnicate"), "{error}");
}

#[test]
fn probes_and_metrics_are_served_on_their_own_port_as_well() {
    let builder = TestServer::builder(Models::with(&["external"])).set("server.metricsListen", "127.0.0.1:0");
    let server = builder.ready();
    let second = server.metrics_address().expect("a second address");
    assert_ne!(second, server.address());
    let mut client = Client::new(second);
    for path in ["/health", "/health/live", "/health/ready", "/health/all"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
    let metrics = client.get("/metrics");
    assert!(metrics.status == 200 && metrics.text().contains("perch_ready 1"), "{}", metrics.text());
    assert_eq!(client.predict(&json!({"instances": [[1, 1, 1, 1]]})).status, 404, "no predictions there");
}

#[test]
fn a_server_that_drains_is_unready_at_once_and_still_predicts() {
    let builder = TestServer::builder(Models::with(&["external"])).set("server.drain.delay", "8s");
    let server = builder.ready();
    let address = server.address();
    let mut kept = Client::new(address);
    assert_eq!(kept.get("/health/ready").status, 200);
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| {
            let clean = server.stop();
            stopped.store(true, Ordering::SeqCst);
            clean
        });
        let good = json!({"instances": [[1, 1, 1, 1]]});
        wait::until_true("unready", || Client::new(address).get("/health/ready").status == 503);
        let reply = Client::new(address).get("/health/ready");
        assert_eq!((reply.status, reply.json()), (503, json!({"status": "draining"})));
        assert_eq!(Client::new(address).get("/health/live").status, 200);
        assert_eq!(kept.get("/health/all").ok()["status"], "draining");
        let reply = Client::new(address).predict(&good);
        assert!(reply.closes(), "a client is to go elsewhere with its next request");
        assert_eq!(reply.ok()["predictions"], json!([10.5]));
        assert!(!stopped.load(Ordering::SeqCst), "all of this within the delay");
        assert!(stopping.join().expect("stopped"), "everything ended in time");
    });
    assert!(Client::new(address).connect().is_err(), "nobody listens any more");
}

#[test]
fn probes_answer_while_every_place_is_taken() {
    let (loader, script) = FakeLoader::new();
    let builder = TestServer::builder(Models::scripted(&["fake"]))
        .loader(loader)
        .set("server.maxInFlight", "1")
        .set("server.requestTimeout", "10s");
    let server = builder.ready();
    // The first one is moved to a thread of its own, where it stays until its time is up.
    let endless = json!({"instances": [perch_testkit::fake::trigger::SPIN]});
    std::thread::scope(|scope| {
        let held = scope.spawn(|| server.predict(&endless).status);
        wait::until_true("the endless run", || script.began(perch_testkit::fake::trigger::SPIN));
        let shed = wait::until("a full server", || {
            Some(server.predict(&json!({"instances": [1]}))).filter(|reply| reply.status != 200)
        });
        assert_eq!(shed.error(429).0, "overloaded");
        assert_eq!(shed.header("retry-after"), Some("1"));
        for path in ["/health/live", "/health/ready", "/health/all", "/metrics"] {
            assert_eq!(server.get(path).status, 200, "{path}");
        }
        assert_eq!(held.join().expect("an answer"), 504);
    });
}
