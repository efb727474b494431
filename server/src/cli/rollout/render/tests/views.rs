//! Views as a server sends them.

use serde_json::{Value, json};

type Make = fn() -> Value;

/// Every state that is kept as a picture.
pub(super) const STATES: [(&str, Make); 12] = [
    ("progressing", progressing),
    ("loading", loading),
    ("inconclusive", inconclusive),
    ("suspended", suspended),
    ("promoted", promoted),
    ("demoted", demoted),
    ("idle", idle),
    ("threshold", threshold),
    ("odd_numbers", odd_numbers),
    ("long_names", long_names),
    ("fleet", fleet),
    ("fleet_odd", fleet_odd),
];

const REASON: &str = "errors: 0.31 is above 0.01";

pub(super) fn progressing() -> Value {
    json!({
        "model": "curve_forecaster", "generation": 7, "state": "progressing", "reason": null,
        "stable": {"version": "1", "digest": "sha256:aa"}, "canary": {"version": "2", "digest": "sha256:bb"},
        "rollout": "curve_forecaster/sha256:bb/3", "strategy": "canary", "judge": "sequential", "split": "balanced",
        "weight": 10.0, "actualShare": 9.97, "ready": true, "step": 2, "steps": 9,
        "plan": [
            {"setWeight": 10}, {"pause": {"duration": "5m", "minExecutions": 329}},
            {"gate": {"metrics": ["errors"], "confidence": 0.95}}, {"setWeight": 50}, {"pause": {"duration": "30m"}},
            {"gate": {"metrics": ["errors", "latency", "latency-vs-stable"]}}, {"setWeight": 100},
            {"pause": {"duration": "10m"}}, {"promote": {}}
        ],
        "stepElapsed": 12.3, "stepRemaining": 287.7, "waitingFor": "4 m 48 s of traffic", "pausedBy": null,
        "until": null,
        "metrics": [
            {"name": "errors", "type": "error-rate", "compareTo": null, "quantile": null, "unit": "share",
             "value": 0.004, "limit": 0.01, "latencyLimit": null, "evidence": -1.2, "enough": 7.6, "n": 1234,
             "bad": 5, "dryRun": false, "status": "ok"},
            {"name": "latency", "type": "latency", "compareTo": null, "quantile": "p95", "unit": "share",
             "value": 0.021, "limit": 0.05, "latencyLimit": 1.0, "evidence": 0.3, "enough": 7.6, "n": 1214,
             "bad": 26, "dryRun": false, "status": "ok"},
            {"name": "errors-vs-stable", "type": "error-rate", "compareTo": "stable", "quantile": null,
             "unit": "ratio", "value": 1.1, "limit": 1.5, "latencyLimit": null, "evidence": 2.9, "enough": 7.6,
             "n": 1234, "bad": 5, "dryRun": false, "status": "ok"},
            {"name": "latency-vs-stable", "type": "latency", "compareTo": "stable", "quantile": "p95",
             "unit": "share", "value": null, "limit": null, "latencyLimit": null, "evidence": 0.0, "enough": 7.6,
             "n": 0, "bad": 0, "dryRun": true, "status": "inconclusive"}
        ],
        "gate": null,
        "tracks": {
            "stable": {"version": "1", "requests": 11_106, "failed": 0, "perSecond": 45.0, "p50": 0.81, "p95": 1.24,
                       "p99": 2.0},
            "canary": {"version": "2", "requests": 1234, "failed": 5, "perSecond": 5.0, "p50": 0.83, "p95": 1.31,
                       "p99": 2.125}
        },
        "fallbacks": {"error": 4, "timeout": 0, "invalid_output": 1, "exhausted": 0, "left": 997, "burst": 1000},
        "stableFailing": false, "quarantine": [], "store": {"state": "ready"}
    })
}

pub(super) fn past() -> Value {
    json!({"history": [
        {"generation": 7, "at": "2026-11-03T11:02:52Z", "who": "schedule", "from": "progressing", "to": "progressing",
         "what": "step 2: pause 5m", "version": "2"},
        {"generation": 6, "at": "2026-11-03T11:02:50Z", "who": "registry", "from": "idle", "to": "progressing",
         "what": "version 2 is tried", "version": "2"},
        {"generation": 5, "at": "2026-11-02T08:30:00Z", "who": "operator:alice@laptop", "from": "demoted",
         "to": "idle", "what": null, "version": null},
        {"generation": 4, "at": "2026-11-02T08:00:00Z", "who": "judge", "from": "progressing", "to": "demoted",
         "what": "version 3 is demoted: errors: 0.31 is above 0.01", "version": "3"}
    ]})
}

fn loading() -> Value {
    let mut view = progressing();
    (view["ready"], view["weight"], view["actualShare"]) = (json!(false), json!(0.0), json!(null));
    (view["step"], view["waitingFor"]) = (json!(1), json!("the canary to be loaded"));
    (view["stepElapsed"], view["stepRemaining"]) = (json!(0.0), json!(null));
    view
}

fn inconclusive() -> Value {
    let mut view = progressing();
    (view["state"], view["pausedBy"]) = (json!("paused"), json!("inconclusive"));
    view["reason"] = json!("the gate at step 3 had 110 executions in 30m, of 329");
    (view["step"], view["stepElapsed"], view["stepRemaining"]) = (json!(3), json!(1800.0), json!(null));
    view["waitingFor"] = json!("219 more executions");
    view["gate"] = json!({"step": 3, "metrics": [
        {"name": "errors", "value": 0.0, "limit": 0.01, "evidence": 1.1, "enough": 3.0, "n": 110, "bad": 0, "passed": false},
        {"name": "errors-vs-stable", "value": 1.0, "limit": 1.5, "evidence": 3.4, "enough": 3.0, "n": 110, "bad": 0,
         "passed": true}
    ]});
    view["quarantine"] = json!([{"digest": "sha256:0123456789abcdef0123", "until": "2026-11-04T08:00:00Z"}]);
    view
}

fn suspended() -> Value {
    let mut view = progressing();
    (view["state"], view["reason"]) = (json!("suspended"), json!("stable fails too: errors: 0.2 is above 0.01"));
    (view["weight"], view["actualShare"], view["stableFailing"]) = (json!(0.0), json!(0.0), json!(true));
    (view["stepRemaining"], view["waitingFor"]) = (json!(null), json!("stable to be under its limit for 60 s"));
    view["store"] = json!({"state": "unavailable", "error": "connection to postgres:5432 refused"});
    view["tracks"]["stable"]["failed"] = json!(2300);
    view["fallbacks"] =
        json!({"error": 800, "timeout": 20, "invalid_output": 1, "exhausted": 12, "left": 0.4, "burst": 1000});
    view
}

fn ended(state: &str) -> Value {
    let mut view = progressing();
    view["state"] = json!(state);
    for key in ["rollout", "step", "steps", "stepElapsed", "stepRemaining", "waitingFor", "tracks", "fallbacks"] {
        view[key] = json!(null);
    }
    for metric in view["metrics"].as_array_mut().expect("metrics") {
        for key in ["value", "evidence"] {
            metric[key] = json!(null);
        }
        (metric["n"], metric["bad"]) = (json!(0), json!(0));
    }
    view
}

fn promoted() -> Value {
    let mut view = ended("promoted");
    (view["weight"], view["actualShare"]) = (json!(100.0), json!(100.0));
    view["stable"]["version"] = json!("2");
    view["until"] = json!("2026-11-03T11:13:04Z");
    view
}

fn demoted() -> Value {
    let mut view = ended("demoted");
    (view["weight"], view["actualShare"], view["reason"]) = (json!(0.0), json!(null), json!(REASON));
    view["quarantine"] = json!([{"digest": "sha256:bbbbbbbbbbbbbbbbbbbb", "until": "2026-11-04T11:03:00Z"}]);
    view
}

fn idle() -> Value {
    let mut view = ended("idle");
    (view["weight"], view["actualShare"], view["canary"]) = (json!(0.0), json!(null), json!(null));
    view
}

fn threshold() -> Value {
    let mut view = progressing();
    view["judge"] = json!("threshold");
    view["metrics"].as_array_mut().expect("metrics").truncate(2);
    for (metric, rows) in view["metrics"].as_array_mut().expect("metrics").iter_mut().zip([12, 150]) {
        (metric["evidence"], metric["enough"]) = (json!(rows), json!(100));
    }
    view["metrics"][1]["status"] = json!("breached");
    view
}

fn odd_numbers() -> Value {
    let mut view = progressing();
    (view["weight"], view["actualShare"]) = (json!(99.99), json!(0.000_12));
    (view["stepElapsed"], view["stepRemaining"]) = (json!(1e6), json!(1e9));
    let metric = &mut view["metrics"][0];
    (metric["value"], metric["limit"]) = (json!(0.000_12), json!(0.000_001));
    (metric["evidence"], metric["n"], metric["bad"]) = (json!(7.59), json!(1_000_000), json!(123_456));
    let metric = &mut view["metrics"][2];
    (metric["value"], metric["evidence"]) = (json!(1e6), json!(-1e6));
    view["tracks"]["stable"] = json!({"version": "1", "requests": 18_446_744_073_709_551_615_u64, "failed": 1_000_000,
        "perSecond": 1e6, "p50": 0.000_12, "p95": 99.99, "p99": 1e6});
    view["tracks"]["canary"] = json!({"version": "2", "requests": 0, "failed": 0, "perSecond": 0.0, "p50": null,
        "p95": null, "p99": null});
    view["fallbacks"]["left"] = json!(-3.0);
    view
}

fn long_names() -> Value {
    let mut view = inconclusive();
    view["model"] = json!("the_quarterly_treasury_bill_curve_forecaster_of_the_国債利回り_desk_in_zürich");
    view["canary"]["version"] = json!("12345678901234567890");
    view["tracks"]["canary"]["version"] = json!("12345678901234567890");
    view["metrics"][0]["name"] = json!("errors_of_the_quarterly_treasury_bill_curve_forecaster");
    view["gate"]["metrics"][0]["name"] = view["metrics"][0]["name"].clone();
    view["reason"] =
        json!(format!("a reason with \u{1b}[31mcolours\u{1b}[0m,\nbreaks and {}", "many words ".repeat(12)));
    view["plan"][3] = json!({"analysis": {"templates": ["one", "two"], "args": {"a": 1}, "text": "x".repeat(200)}});
    view
}

fn replica(number: u32, evidence: f64, n: u64, bad: u64) -> Value {
    json!({
        "replica": format!("perch-{number}:8000"), "boot": format!("{number:016x}"), "asked": number == 0, "heard": 0.2,
        "ready": true, "unfit": null, "otherPolicy": false, "executions": n,
        "metrics": [{"name": "errors", "evidence": evidence, "enough": 12.2, "n": n, "bad": bad}]
    })
}

/// Three replicas that go well.
pub(super) fn fleet() -> Value {
    let mut view = progressing();
    view["metrics"].as_array_mut().expect("metrics").truncate(1);
    view["fleet"] = json!({
        "replica": "perch-0:8000", "seen": 3, "ready": 3,
        "replicas": [replica(0, -0.4, 412, 2), replica(1, -0.3, 409, 1), replica(2, -0.5, 413, 2)]
    });
    view
}

/// Many replicas, some of them unlike the others.
fn fleet_odd() -> Value {
    let mut view = fleet();
    let mut replicas: Vec<Value> = (0..14).map(|number| replica(number, -0.4, 100, 0)).collect();
    replicas[7]["unfit"] = json!("smoke tests: line 3: predictions[0] is 1.5, expected 1.25 within 0.0001");
    replicas[7]["ready"] = json!(false);
    replicas[9]["ready"] = json!(false);
    replicas[11]["otherPolicy"] = json!(true);
    replicas[13]["heard"] = json!(2.6);
    (view["fleet"]["seen"], view["fleet"]["ready"]) = (json!(14), json!(12));
    view["fleet"]["replicas"] = json!(replicas);
    (view["state"], view["pausedBy"]) = (json!("paused"), json!("unfit"));
    view["reason"] = json!("perch-7:8000 cannot load the canary: smoke tests: line 3: predictions[0] is 1.5");
    view
}
