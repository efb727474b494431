//! The same with ONNX Runtime: a loop that never ends, and the example's version with a bug.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use perch_testkit::json::close;
use perch_testkit::models::{root, source};
use perch_testkit::server::report;
use perch_testkit::{Metronome, Models, Rollout, TestServer, wait};
use serde_json::{Value, json};

use super::{ALL, ERRORS, HALF, track, why, yaml};

/// Far longer than a request takes that does not wait for it.
const TIMEOUT: Duration = Duration::from_secs(20);

fn started(models: Models, name: &str, policy: &[&str]) -> (TestServer, Rollout) {
    let timeout = format!("{}s", TIMEOUT.as_secs());
    let builder = TestServer::builder(models).yaml(&yaml(name, policy));
    let server = builder.set("server.requestTimeout", &timeout).ready();
    let rollout = Rollout::of(server.address(), name);
    rollout.wait("the canary has weight", |view| view["ready"] == true && view["weight"] != 0.0);
    (server, rollout)
}

/// Two versions of the fixture `loop`: stable never begins to turn, the canary turns as often as it is told to.
fn loops() -> Models {
    let models = Models::with(&[]);
    let graph = std::fs::read(source("loop").join("1/model.onnx")).expect("the fixture");
    // The initializer `yes`, a tensor of one byte: its name, and its data.
    let yes = b"\x42\x03yes\x4a\x01\x01";
    let places: Vec<usize> = (0..graph.len()).filter(|place| graph[*place..].starts_with(yes)).collect();
    assert_eq!(places.len(), 1, "the fixture has the condition once");
    let mut still = graph.clone();
    still[places[0] + yes.len() - 1] = 0;
    let example = br#"{"turns": [[1]]}"#;
    for (version, graph) in [(1, still), (2, graph)] {
        models.write(&format!("loop/{version}/model.onnx"), &graph);
        models.write(&format!("loop/{version}/input_example.json"), example);
    }
    models.set_alias("loop", "stable", 1);
    models.set_alias("loop", "canary", 2);
    models
}

#[test]
fn a_canary_that_never_ends_is_demoted_and_callers_wait_no_longer_than_after() {
    const AFTER: Duration = Duration::from_millis(500);
    let (server, rollout) = started(loops(), "loop", &["routing: {fallback: {after: 500ms}}", ERRORS, HALF]);
    let endless = json!({"instances": [1_000_000_000_000_u64]});
    let times = Mutex::new(Vec::new());
    let metronome = Metronome::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = server.client();
                let mut own = Vec::new();
                let (mut out, mut more) = (false, 50);
                while more > 0 {
                    let began = Instant::now();
                    let reply = client.predict(&endless);
                    own.push((began, Instant::now(), why(&reply) == Some("timeout")));
                    assert_eq!(reply.ok()["predictions"], json!([0.0]), "stable answers");
                    assert_eq!(track(&reply), "stable");
                    out = out || rollout.view()["state"] == "demoted";
                    more -= i32::from(out);
                }
                times.lock().expect("no caller failed").extend(own);
            });
        }
    });
    // What a request took, but for a time in which the machine itself stood still.
    let took = |(began, ended, late): (Instant, Instant, bool)| {
        ((ended - began).saturating_sub(metronome.worst(began, ended)), late)
    };
    let mut times: Vec<_> = times.into_inner().expect("no caller failed").into_iter().map(took).collect();
    times.sort();
    let late: Vec<Duration> = times.iter().filter(|(_, late)| *late).map(|(took, _)| *took).collect();
    assert!((3..100).contains(&late.len()), "{} of {} were late", late.len(), times.len());
    let view = rollout.wait_state("demoted");
    // What stable takes under the same load; the rest of a call is its connection and the machine's scheduler.
    let stable = Duration::from_secs_f64(view["tracks"]["stable"]["p99"].as_f64().expect("a latency") / 1e3);
    let p99 = times[times.len() * 99 / 100].0;
    assert!(p99 <= AFTER + stable + Duration::from_millis(100), "{p99:?}, and stable's is {stable:?}: {late:?}");
    // A reactor may be held for a quarter of a second by a first run, twice by two.
    let longest = times[times.len() - 1].0;
    assert!(longest < AFTER + Duration::from_millis(1500), "{longest:?}");
    assert!(view["fallbacks"]["timeout"].as_u64() >= Some(3), "{view}");
    // It goes although a run of it never ends.
    server
        .wait_model("loop", "the canary is gone", |model| report(model, "2").is_some_and(|it| it["state"] != "ready"));
}

/// The example's hold-out rows, whose answer of version 3 is NaN or is not.
struct Holdout {
    rows: Vec<Value>,
    stable: Vec<Value>,
    broken: Vec<bool>,
}

fn holdout() -> Holdout {
    let text = std::fs::read(root().join("examples/curve_forecaster/holdout.json")).expect("the example");
    let holdout: Value = serde_json::from_slice(&text).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let answers = &holdout["tbilrate"];
    Holdout {
        rows: list(&holdout["features"]),
        stable: list(&answers["2"]),
        broken: list(&answers["3"]).iter().map(Value::is_null).collect(),
    }
}

fn example(policy: &[&str]) -> (TestServer, Rollout) {
    let models = Models::with(&["curve_forecaster"]);
    models.set_alias("curve_forecaster", "stable", 2);
    models.set_alias("curve_forecaster", "canary", 3);
    started(models, "curve_forecaster", policy)
}

/// Asks until the canary is out: every answer is one, and none is NaN.
fn ask_until_out(server: &TestServer, rollout: &Rollout, holdout: &Holdout, rows: &[usize]) -> Value {
    let mut client = server.client();
    let mut turns = rows.iter().cycle();
    wait::until("a demotion", || {
        let row = *turns.next()?;
        let text = holdout.rows[row].to_string().replace("null", "NaN");
        let reply = client.post(format!("{{\"instances\": [{text}]}}"));
        if reply.header("x-perch-version") == Some("2") {
            assert!(close(&reply.ok()["predictions"], &json!([holdout.stable[row]]), 1e-4), "{}", reply.text());
        } else {
            assert_eq!((track(&reply), holdout.broken[row]), ("canary", false), "{}", reply.text());
            assert!(reply.ok()["predictions"][0].is_number(), "{}", reply.text());
        }
        let view = rollout.view();
        (view["state"] == "demoted").then_some(view)
    })
}

#[test]
fn the_examples_third_version_is_demoted_within_three_bad_rows() {
    let holdout = holdout();
    let bad: Vec<usize> = (0..holdout.rows.len()).filter(|row| holdout.broken[*row]).collect();
    assert_eq!((bad.len(), holdout.rows.len()), (7, 59));
    for strategy in [ALL, HALF] {
        let (server, rollout) = example(&[ERRORS, strategy]);
        let view = ask_until_out(&server, &rollout, &holdout, &bad);
        let metric = &view["metrics"][0];
        assert_eq!((&metric["n"], &metric["bad"]), (&json!(3), &json!(3)), "{view}");
        assert_eq!(view["fallbacks"]["invalid_output"], 3, "{view}");
    }
}

#[test]
fn the_examples_third_version_is_demoted_by_its_natural_mix() {
    let holdout = holdout();
    let all: Vec<usize> = (0..holdout.rows.len()).collect();
    let analysis = "analysis: {falseDemotionRate: 0.01, metrics: [{name: errors, type: error-rate, max: 0.01}]}";
    for strategy in [ALL, HALF] {
        let (server, rollout) = example(&[analysis, strategy]);
        let view = ask_until_out(&server, &rollout, &holdout, &all);
        let bad = view["metrics"][0]["bad"].as_u64().expect("a number");
        assert!((3..=8).contains(&bad), "{view}");
    }
}
