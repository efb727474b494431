//! The steps of a strategy.

use super::Findings;
use crate::{
    policy::{GateStep, MetricType, RolloutPolicy, SmokeTests, Step},
    weight::Weight,
};

pub(super) fn check(policy: &RolloutPolicy, found: &mut Findings) {
    let strategy = &policy.strategy;
    if strategy.shadow.is_some() {
        found.add("strategy.shadow", "`shadow` is not supported yet");
    } else {
        let got = match (&strategy.canary, &strategy.blue_green) {
            (Some(_), Some(_)) => Some("both"),
            (None, None) => Some("none"),
            _ => None,
        };
        found.unless(got.is_none(), "strategy", "one of `canary` and `blueGreen`", got.unwrap_or_default());
    }
    let own = strategy.blue_green.as_ref().map(|blue_green| ("blueGreen", &blue_green.smoke_tests));
    let stepwise = strategy.canary.as_ref().map(|canary| ("canary", &canary.smoke_tests));
    for (name, tests) in stepwise.into_iter().chain(own) {
        let named = !matches!(tests, SmokeTests::File(path) if path.trim().is_empty());
        found.unless(named, &format!("strategy.{name}.smokeTests.file"), "a file", "nothing");
    }
    let Some(canary) = &strategy.canary else { return };
    let key = "strategy.canary.steps";
    found.unless(!canary.steps.is_empty(), key, "at least one step", "none");
    let mut weight = Weight::ZERO;
    for (place, step) in canary.steps.iter().enumerate() {
        let key = format!("{key}[{place}]");
        match step {
            Step::SetWeight(next) => {
                let expected = format!("a weight above {weight}, which it has already");
                found.unless(*next > weight, &format!("{key}.setWeight"), &expected, next);
                weight = weight.max(*next);
            }
            Step::Pause(pause) => {
                let zero = pause.duration.is_some_and(|duration| duration.0.is_zero());
                found.unless(!zero, &format!("{key}.pause.duration"), "longer than nothing", "0s");
            }
            Step::Gate(gate) => {
                found.unless(weight > Weight::ZERO, &key, "a `setWeight` before a gate", "none");
                check_gate(&format!("{key}.gate"), gate, policy, found);
            }
            Step::Promote(_) => {
                found.unless(place + 1 == canary.steps.len(), &key, "`promote` as the last step", "more");
            }
            Step::Shadow(_) => found.add(format!("{key}.shadow"), "`shadow` is not supported yet"),
        }
    }
    found.unless(weight > Weight::ZERO || canary.steps.is_empty(), key, "a `setWeight`", "none");
}

fn check_gate(key: &str, gate: &GateStep, policy: &RolloutPolicy, found: &mut Findings) {
    found.unless(!gate.metrics.is_empty(), &format!("{key}.metrics"), "at least one metric", "none");
    for (place, name) in gate.metrics.iter().enumerate() {
        let key = format!("{key}.metrics[{place}]");
        match policy.analysis.metrics.iter().find(|metric| metric.name == *name) {
            None => {
                let names: Vec<_> = policy.analysis.metrics.iter().map(|metric| metric.name.as_str()).collect();
                found.unless(
                    false,
                    &key,
                    &format!("one of analysis.metrics ({})", names.join(", ")),
                    format!("{name:?}"),
                );
            }
            Some(metric) if metric.compare_to.is_some() && metric.kind == MetricType::ErrorRate => {
                found.add(key, format!("{name:?} compares errors with stable's, which no gate can show"));
            }
            Some(_) => {}
        }
    }
    let confidence = gate.confidence;
    found.unless(
        (0.5..1.0).contains(&confidence),
        &format!("{key}.confidence"),
        "at least 0.5 and below 1",
        confidence,
    );
}
