//! Gates: a canary goes on when enough has gone well, in the order in which it was begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use perch_testkit::Client;
use perch_testkit::fake::Act;
use perch_testkit::wait;
use serde_json::{Value, json};

use super::{Trial, ask, assert_doubled, holds, loads_on_workers, receive, send};

const GATED: &str =
    "strategy: {canary: {steps: [{setWeight: 100}, {gate: {metrics: [errors], confidence: 0.95}}, {pause: {}}]}}";
const ERRORS: &str = "analysis: {minFailures: 1000, metrics: [{name: errors, type: error-rate, max: 0.01}]}";

fn many(client: &mut Client, count: u16) {
    for row in 0..count {
        let row = f32::from(row % 100);
        assert_doubled(&ask(client, row), row);
    }
}

fn gated(trial: &Trial, n: u64) -> Value {
    let view = trial.rollout.wait(&format!("{n} at the gate"), |view| view["gate"]["metrics"][0]["n"] == n);
    assert_eq!((&view["state"], &view["step"]), (&json!("progressing"), &json!(2)), "{view}");
    view["gate"]["metrics"][0].clone()
}

#[test]
fn a_gate_takes_329_clean_executions_for_one_percent() {
    let trial = Trial::start("gate", &[ERRORS, GATED]);
    let mut client = trial.server.client();
    many(&mut client, 300);
    assert_eq!(gated(&trial, 300)["passed"], false);
    many(&mut client, 28);
    let gate = gated(&trial, 328);
    assert!(gate["evidence"].as_f64() < gate["enough"].as_f64(), "{gate}");
    many(&mut client, 1);
    let view = trial.rollout.wait_state("paused");
    assert_eq!((&view["step"], &view["weight"]), (&json!(3), &json!(100.0)));
}

/// Two workers: one run takes long and fails, and hundreds that started later have ended well before.
#[test]
fn a_slow_failure_counts_before_the_successes_that_overtook_it() {
    let yaml = ["routing: {fallback: {after: 50s}}", ERRORS, GATED];
    let trial = Trial::prepared_with("gate-order", &yaml, "60s", "  instances: 2\n", |script| {
        loads_on_workers(script, 2);
    });
    let released = Arc::new(AtomicBool::new(false));
    let held = released.clone();
    trial.script.behave(2, move |rows| {
        if !holds(rows, -1.0) {
            return Act::Answer;
        }
        while !held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Act::Fail
    });
    let mut slow = trial.server.client();
    send(&mut slow, &[-1.0]);
    wait::until_true("the slow run", || trial.script.batches_of(2).iter().any(|batch| holds(batch, -1.0)));
    let mut client = trial.server.client();
    many(&mut client, 400);
    // All 401 are known, and none is the gate's to hear.
    let view = trial.rollout.wait("all counted", |view| view["metrics"][0]["n"] == 401);
    assert_eq!((&view["step"], &view["gate"]["metrics"][0]["n"]), (&json!(2), &json!(0)), "{view}");
    released.store(true, Ordering::SeqCst);
    assert_doubled(&receive(&mut slow), -1.0);
    let gate = gated(&trial, 401);
    assert_eq!((&gate["bad"], &gate["passed"]), (&json!(1), &json!(false)), "{gate}");
    // 694 with one failure.
    many(&mut client, 292);
    gated(&trial, 693);
    many(&mut client, 1);
    trial.rollout.wait_state("paused");
}
