//! Canaries that are three times as slow as stable.

use std::time::Duration;

use perch_testkit::Rollout;
use perch_testkit::fake::{Act, Script};
use perch_testkit::load::Load;
use serde_json::json;

use super::{HALF, Trial, questions};

/// A run of stable. A request may have to wait for another one first.
const STABLE: Duration = Duration::from_millis(40);
/// More than are on their way at once: a moment in which the machine stands still makes as many slow, on both tracks.
const PATIENT: &str = "minFailures: 20";

/// How long runs of each take.
fn takes(script: &Script, stable: Duration, canary: Duration) {
    script.behave(1, move |_| Act::Wait(stable));
    script.behave(2, move |_| Act::Wait(canary));
}

fn demoted(trial: &Trial, metric: &str) {
    let load = Load::start(trial.server.address(), 6, questions(100));
    let view = trial.rollout.wait_state("demoted");
    assert!(view["reason"].as_str().is_some_and(|reason| reason.starts_with(&format!("{metric}: "))), "{view}");
    let shown = Rollout::metric(&view, metric);
    // The first twenty requests do not count.
    let canary = view["tracks"]["canary"]["requests"].as_u64().expect("a number");
    assert!(shown["n"].as_u64() < Some(canary.max(20)), "{view}");
    load.wait_more(50);
    assert_eq!(load.finish().failures, Vec::<String>::new());
}

#[test]
fn a_canary_above_a_limit_of_its_own_is_demoted() {
    let policy =
        format!("analysis: {{{PATIENT}, metrics: [{{name: latency, type: latency, quantile: p95, max: 200ms}}]}}");
    // Stable is far below the limit: where it passes it too, the canary is not to blame.
    let trial = Trial::prepared("slow", &[&policy, HALF], "60s", |script| {
        takes(script, Duration::from_millis(5), Duration::from_millis(400));
    });
    demoted(&trial, "latency");
}

#[test]
fn a_canary_above_stables_latency_is_demoted() {
    let policy =
        "analysis: {metrics: [{name: versus, type: latency, quantile: p95, compareTo: stable, maxRatio: 1.2}]}";
    let trial = Trial::prepared("slower", &[policy, HALF], "60s", |script| takes(script, STABLE, 3 * STABLE));
    let view = trial.rollout.view();
    assert_eq!(
        (&view["metrics"][0]["status"], &view["metrics"][0]["latencyLimit"]),
        (&json!("inconclusive"), &json!(null))
    );
    demoted(&trial, "versus");
}

#[test]
fn a_canary_as_fast_as_stable_stays() {
    let policy = format!(
        "analysis: {{{PATIENT}, metrics: [{{name: latency, type: latency, quantile: p95, max: 5s}}, \
         {{name: versus, type: latency, quantile: p95, compareTo: stable, maxRatio: 2.5}}]}}"
    );
    let trial = Trial::prepared("as-fast", &[&policy, HALF], "60s", |script| takes(script, STABLE, STABLE));
    let load = Load::start(trial.server.address(), 6, questions(100));
    load.wait_more(600);
    let view = trial.rollout.view();
    assert_eq!(load.finish().failures, Vec::<String>::new());
    assert_eq!(view["state"], "paused", "{view}");
    let versus = Rollout::metric(&view, "versus");
    assert!(versus["latencyLimit"].as_f64() > Some(0.04) && versus["n"].as_u64() > Some(0), "{view}");
}
