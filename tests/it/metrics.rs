//! What /metrics tells, by exact names and labels.

use std::collections::BTreeSet;

use perch_testkit::client::request;
use perch_testkit::metrics::Scrape;
use perch_testkit::{Models, PerchProcess, TestServer, wait};
use serde_json::json;

use crate::PERCH;

/// Dashboards and alerts stand on these names: a change here breaks other people's.
const NAMES: [(&str, &str); 29] = [
    ("http_request_duration_seconds", "histogram"),
    ("http_requests_total", "counter"),
    ("perch_batch_rows", "histogram"),
    ("perch_build_info", "gauge"),
    ("perch_connections", "gauge"),
    ("perch_errors_total", "counter"),
    ("perch_executions_total", "counter"),
    ("perch_model_inline", "gauge"),
    ("perch_model_load_duration_seconds", "histogram"),
    ("perch_model_loads_total", "counter"),
    ("perch_model_sessions", "gauge"),
    ("perch_model_state", "gauge"),
    ("perch_outbox_pending", "gauge"),
    ("perch_prediction_duration_seconds", "histogram"),
    ("perch_queue_depth", "gauge"),
    ("perch_ready", "gauge"),
    ("perch_registry_up", "gauge"),
    ("perch_registry_writes_pending", "gauge"),
    ("perch_registry_writes_total", "counter"),
    ("perch_requests_in_flight", "gauge"),
    ("perch_rollout_actual_share_percent", "gauge"),
    ("perch_rollout_demotions_total", "counter"),
    ("perch_rollout_fallbacks_left", "gauge"),
    ("perch_rollout_generation", "gauge"),
    ("perch_rollout_stable_failing", "gauge"),
    ("perch_rollout_state", "gauge"),
    ("perch_rollout_step", "gauge"),
    ("perch_rollout_weight_percent", "gauge"),
    ("perch_store_up", "gauge"),
];

fn scrape(perch: &PerchProcess) -> Scrape {
    let reply = perch.client().get("/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::parse(reply.text())
}

#[track_caller]
fn assert_count(scrape: &Scrape, name: &str, labels: &[(&str, &str)], expected: u32) {
    let got = scrape.sum(name, labels);
    assert_eq!(got.to_bits(), f64::from(expected).to_bits(), "{name}{labels:?} is {got}, expected {expected}");
}

/// A process of its own: the counts of one process are all its servers'.
#[test]
fn counts_add_up_under_the_right_names_and_labels() {
    let models = Models::with(&["external", "mixed"]);
    let perch = PerchProcess::serve(PERCH, models.path(), &[]);
    perch.wait_ready();
    let mut client = perch.client();
    let good = json!({"model": "external", "instances": [[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]});
    for _ in 0..7 {
        client.predict(&good).ok();
    }
    for _ in 0..3 {
        client.predict(&json!({"model": "external", "instances": [[1]]})).error(400);
    }
    for number in 0..5 {
        client.predict(&json!({"model": format!("unknown_{number}"), "instances": [[1]]})).error(404);
    }
    client.post("{").error(400);
    client.get("/nowhere").error(404);
    client.get("/predict").error(405);

    let scrape = scrape(&perch);
    let external = |status| [("model", "external"), ("version", "1"), ("track", "stable"), ("status", status)];
    let nobody = |status| [("model", ""), ("version", ""), ("track", ""), ("status", status)];
    for (labels, count) in
        [(external("200"), 7), (external("400"), 3), (nobody("400"), 1), (nobody("404"), 6), (nobody("405"), 1)]
    {
        assert_count(&scrape, "http_requests_total", &labels, count);
        assert_count(&scrape, "http_request_duration_seconds_count", &labels, count);
    }
    assert_count(&scrape, "http_requests_total", &[], 18);
    for sample in scrape.find("http_requests_total", &[]) {
        let labels: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["model", "status", "track", "version"]);
    }
    let kinds = |kind| [("model", "external"), ("kind", kind)];
    assert_count(&scrape, "perch_errors_total", &kinds("invalid_input"), 3);
    assert_count(&scrape, "perch_errors_total", &[("model", ""), ("kind", "model_not_found")], 5);

    let version = [("model", "external"), ("version", "1"), ("track", "stable")];
    assert_count(&scrape, "perch_batch_rows_sum", &version, 21);
    assert_count(&scrape, "perch_batch_rows_count", &version, 7);
    assert_count(&scrape, "perch_prediction_duration_seconds_count", &version, 7);
    let ok = [("model", "external"), ("version", "1"), ("track", "stable"), ("outcome", "ok")];
    assert_count(&scrape, "perch_executions_total", &ok, 7);
    assert_count(&scrape, "perch_model_loads_total", &[("model", "external"), ("result", "loaded")], 1);
    assert_count(&scrape, "perch_model_load_duration_seconds_count", &[("model", "external")], 1);
    let state = |state| [("model", "external"), ("version", "1"), ("state", state)];
    for (name, value) in [("ready", 1), ("loading", 0), ("failed", 0), ("unloaded", 0)] {
        assert_count(&scrape, "perch_model_state", &state(name), value);
    }
    assert_count(&scrape, "perch_requests_in_flight", &[], 0);
    assert_count(&scrape, "perch_ready", &[], 1);
    assert_count(&scrape, "perch_registry_up", &[], 1);
    assert_count(&scrape, "perch_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);

    // No label is the client's to choose.
    let models: BTreeSet<&str> =
        scrape.samples.iter().filter_map(|sample| sample.labels.get("model")).map(String::as_str).collect();
    assert_eq!(models, BTreeSet::from(["", "external", "mixed"]));

    let ours = scrape.kinds.iter().filter(|(name, _)| !name.starts_with("process_"));
    let ours: Vec<(&str, &str)> = ours.map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(ours, NAMES);
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(scrape.sum(name, &[]) > 0.0, "{name} tells about the process");
    }
    // It counts in steps of ten milliseconds, and may be at its beginning.
    assert_eq!(scrape.find("process_cpu_seconds_total", &[]).count(), 1);
}

#[test]
fn buckets_are_where_alerts_are_put() {
    let server = TestServer::with(&["scalar_rows"]);
    server.predict(&json!({"instances": [1, 2, 3]})).ok();
    let scrape = Scrape::parse(server.get("/metrics").text());
    let buckets = |name: &str| -> BTreeSet<String> {
        scrape.find(name, &[("model", "scalar_rows")]).map(|sample| sample.labels["le"].clone()).collect()
    };
    for name in ["http_request_duration_seconds_bucket", "perch_prediction_duration_seconds_bucket"] {
        let buckets = buckets(name);
        for limit in ["0.00025", "0.1", "0.25", "0.5", "1", "2", "10", "+Inf"] {
            assert!(buckets.contains(limit), "{name}: {limit} is not in {buckets:?}");
        }
    }
    let rows = buckets("perch_batch_rows_bucket");
    assert!(["1", "8", "64", "+Inf"].iter().all(|limit| rows.contains(*limit)), "{rows:?}");
}

#[test]
fn a_client_that_hangs_up_is_counted_and_leaves_nothing_in_flight() {
    let models = Models::with(&["loop"]);
    let perch = PerchProcess::serve(PERCH, models.path(), &[]);
    perch.wait_ready();
    let endless = request("POST", "/predict", &[], br#"{"instances": [1000000000000]}"#);
    for _ in 0..3 {
        let mut client = perch.client();
        client.send(&endless).expect("sent");
        wait::until_true("it is in flight", || scrape(&perch).sum("perch_requests_in_flight", &[]) > 0.5);
        client.hang_up();
        wait::until_true("nothing in flight", || scrape(&perch).sum("perch_requests_in_flight", &[]) < 0.5);
    }
    let scrape = scrape(&perch);
    assert_count(&scrape, "http_requests_total", &[("status", "499")], 3);
    assert_count(&scrape, "http_requests_total", &[], 3);
}
