//! Canaries that take something else than stable does.

use perch_testkit::load::{Load, Question};
use serde_json::{Value, json};

use super::{ERRORS, HALF, PATIENT, Trial, track};

/// What stable takes, and a canary of other inputs does not.
fn stables() -> Value {
    json!({"inputs": {"x": [[3.0]]}})
}

fn differing(name: &str, analysis: &str, input: &'static str, width: usize) -> Trial {
    Trial::prepared(name, &[analysis, HALF], "10s", move |script| script.takes(2, input, width))
}

#[test]
fn requests_for_stable_never_see_a_refusal_and_the_canary_is_demoted() {
    for (name, input, width) in [("other-name", "z", 1), ("other-width", "x", 2)] {
        let trial = differing(name, ERRORS, input, width);
        let mut client = trial.server.client();
        for _ in 0..20 {
            let reply = client.predict(&stables());
            assert_eq!((reply.ok()["outputs"].clone(), track(&reply)), (json!({"y": [[6.0]]}), "stable"));
        }
        let view = trial.rollout.wait_state("demoted");
        assert_eq!(view["metrics"][0]["bad"], 3, "{view}");
        assert_eq!(view["fallbacks"]["error"], 3, "{view}");
    }
}

/// The same while many ask at once.
#[test]
fn many_at_once_never_see_a_refusal() {
    let trial = differing("other-crowd", ERRORS, "x", 2);
    let question = || Question { body: json!({"instances": [[3.0]]}).to_string(), answers: answer(&json!([6.0])) };
    let load = Load::start(trial.server.address(), 8, vec![question()]);
    trial.rollout.wait_state("demoted");
    load.wait_more(100);
    assert_eq!(load.finish().failures, Vec::<String>::new());
}

#[test]
fn who_asks_for_the_canary_may_write_for_it() {
    let trial = differing("written", PATIENT, "z", 2);
    let mut client = trial.server.client();
    let canarys = json!({"inputs": {"z": [[3.0, 4.0]]}}).to_string();
    let reply = client.request("POST", "/predict", &[("x-perch-track", "canary")], canarys.as_bytes());
    assert_eq!((reply.ok()["outputs"].clone(), track(&reply)), (json!({"y": [[6.0]]}), "canary"));
    // Everybody else is understood as stable understands them.
    let (code, message) = client.post(&canarys).error(400);
    assert_eq!(code, "invalid_input");
    assert!(message.contains('x'), "{message}");
    // It fails, and stable cannot help: what it failed with is what its caller gets.
    trial.script.behave(2, |_| perch_testkit::fake::Act::Fail);
    let reply = client.request("POST", "/predict", &[("x-perch-track", "canary")], canarys.as_bytes());
    assert_eq!(reply.error(500), ("model_failed".to_owned(), "version 2 fails".to_owned()));
}

fn answer(predictions: &Value) -> std::collections::BTreeMap<String, Value> {
    [("1".to_owned(), predictions.clone())].into()
}
