//! Requests that travel in one batch: what becomes of each, and what counts.

use perch_testkit::fake::{Act, trigger};
use serde_json::json;

use super::{ALL, HALF, PATIENT, Trial, assert_doubled, merged, track, why};

#[test]
fn of_a_batch_only_the_rows_that_are_nan_fall_back() {
    let trial = Trial::start("one-nan", &[PATIENT, ALL]);
    trial.script.behave(2, |_| Act::Nan(|row| row > 4.5 && row < 5.5));
    let (replies, _) = merged(&trial, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 5.0);
    for (row, reply) in replies {
        assert_doubled(&reply, row);
        let expected = if row > 4.5 && row < 5.5 { ("stable", Some("invalid_output")) } else { ("canary", None) };
        assert_eq!((track(&reply), why(&reply)), expected, "{row}");
    }
}

#[test]
fn a_batch_that_fails_is_answered_by_stable_and_is_one_execution() {
    let trial = Trial::start("whole-batch", &[PATIENT, ALL]);
    trial.script.behave(2, |_| Act::Fail);
    let from = trial.canary_runs();
    let (replies, _) = merged(&trial, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 5.0);
    for (row, reply) in replies {
        assert_doubled(&reply, row);
        assert_eq!((track(&reply), why(&reply)), ("stable", Some("error")));
    }
    // Each batch is run once, and not again row by row: stable has answered its requests.
    let runs = trial.canary_runs() - from;
    let (_, metric) = trial.counted("errors", runs as u64);
    assert_eq!(metric["bad"].as_u64(), Some(runs as u64), "{metric}");
    assert_eq!(metric["value"], 1.0);
}

#[test]
fn neighbours_of_a_poison_request_are_answered_and_nobody_is_blamed() {
    for (name, poison, status) in [
        ("merged-fail", trigger::FAIL, 500),
        ("merged-refuse", trigger::INVALID, 400),
        ("merged-panic", trigger::PANIC, 500),
    ] {
        let trial = Trial::start(name, &["analysis: {metrics: [{name: errors, type: error-rate, max: 0.4}]}", ALL]);
        let from = trial.canary_runs();
        for _ in 0..4 {
            let (replies, _) = merged(&trial, &[1.0, 2.0, 3.0, poison, 5.0, 6.0, 7.0, 8.0], poison);
            for (row, reply) in replies {
                if row.to_bits() == poison.to_bits() {
                    assert_eq!(reply.status, status, "{}", reply.text());
                } else {
                    assert_doubled(&reply, row);
                }
            }
        }
        let runs = (trial.canary_runs() - from) as u64;
        let (view, metric) = trial.counted("errors", runs);
        assert_eq!((&metric["bad"], &view["state"]), (&json!(0), &json!("paused")), "{name}: {view}");
    }
}

/// Stable runs each request of a batch alone once it failed; the canary does not, since stable does. Its neighbours'
/// failures are not the canary's more than stable's.
#[test]
fn poison_in_batches_is_no_failure_of_the_canary_beside_stable() {
    let policy = "analysis: {metrics: [{name: versus, type: error-rate, compareTo: stable, maxRatio: 1.5}]}";
    let trial = Trial::start("merged-versus", &["routing: {split: random}", policy, HALF]);
    let poison = trigger::FAIL;
    let mut rounds = 0;
    for _ in 0..12 {
        rounds += merged(&trial, &[1.0, 2.0, 3.0, 4.0, 5.0, poison, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0], poison).1;
    }
    let view = trial.rollout.wait("all counted", |view| {
        let [stable, canary] = ["stable", "canary"].map(|track| view["tracks"][track]["requests"].as_u64());
        stable.zip(canary).is_some_and(|(stable, canary)| stable + canary == 12 * rounds)
    });
    assert_eq!(view["state"], "paused", "{view}");
    // One row of each round failed on its own account, here or there.
    let (bad, stable) = (view["metrics"][0]["bad"].as_u64(), view["tracks"]["stable"]["failed"].as_u64());
    assert_eq!(bad.zip(stable).map(|(canary, stable)| canary + stable), Some(rounds), "{view}");
}
