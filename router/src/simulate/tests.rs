//! Whole simulations.

#![expect(clippy::float_cmp, reason = "shares of runs of which all or none did so")]

use proptest::prelude::*;

use super::*;
use crate::policy::{RolloutPolicy, Span};

fn policy(yaml: &str) -> RolloutPolicy {
    let policy: RolloutPolicy = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(policy.problems(), []);
    policy
}

fn inputs(policy: &RolloutPolicy) -> Inputs<'_> {
    Inputs {
        policy,
        requests_per_second: 20.0,
        batch_rows: 1,
        error_rate: 0.0,
        slow_rate: 0.0,
        stable_error_rate: 0.0,
        runs: 25,
        seed: 7,
        longest: Span::mins(180),
    }
}

fn median(inputs: &Inputs) -> f64 {
    let outcome = simulate(inputs).unwrap();
    assert!(outcome.demoted > 0.5, "{outcome:?}");
    outcome.seconds.unwrap().median
}

#[test]
fn a_broken_canary_is_demoted_by_its_third_failure() {
    let policy = RolloutPolicy::phased();
    let outcome = simulate(&Inputs { error_rate: 1.0, ..inputs(&policy) }).unwrap();
    let executions = outcome.executions.unwrap();
    assert_eq!((outcome.demoted, outcome.runs), (1.0, 25));
    assert_eq!((executions.p10, executions.median, executions.p90), (3.0, 3.0, 3.0));
    assert_eq!(outcome.failed_requests.unwrap().median, 3.0);
    // Three of 10 % of 20/s.
    assert!((1.0..=1.5).contains(&outcome.seconds.unwrap().median), "{outcome:?}");
    assert_eq!(outcome.by_metric.into_iter().collect::<Vec<_>>(), [("errors".to_owned(), 25)]);
    // During the pause after the first weight.
    assert_eq!(outcome.by_step.into_iter().collect::<Vec<_>>(), [(1, 25)]);
}

#[test]
fn a_clean_canary_is_promoted_when_its_steps_are_over() {
    let policy = RolloutPolicy::four_steps();
    let outcome = simulate(&inputs(&policy)).unwrap();
    assert_eq!((outcome.promoted, outcome.seconds), (1.0, None));
    // 8 minutes of steps and 10 of watching.
    let unfinished = simulate(&Inputs { longest: Span::mins(7), ..inputs(&policy) }).unwrap();
    assert_eq!(unfinished.unfinished, 1.0);
}

#[test]
fn a_gate_without_enough_evidence_does_what_the_policy_says() {
    let with = |what: &str| {
        let steps = format!(
            "[{{setWeight: 10}}, {{gate: {{metrics: [errors], onInconclusive: {what}, maxExtend: 10m}}}}, \
             {{setWeight: 100}}]"
        );
        let policy = policy(&format!("strategy: {{canary: {{steps: {steps}}}}}"));
        simulate(&Inputs { requests_per_second: 2.0, ..inputs(&policy) }).unwrap()
    };
    // 329 executions at 0.2/s take 27 minutes.
    assert_eq!((with("extend").paused, with("pause").paused, with("abort").aborted), (1.0, 1.0, 1.0));
    let policy = RolloutPolicy::phased();
    assert_eq!(simulate(&Inputs { requests_per_second: 50.0, ..inputs(&policy) }).unwrap().promoted, 1.0);
}

#[test]
fn slow_canaries_are_demoted_by_the_metric_of_latency() {
    for policy in [RolloutPolicy::phased(), RolloutPolicy::four_steps()] {
        let outcome = simulate(&Inputs { slow_rate: 0.5, ..inputs(&policy) }).unwrap();
        let metric = &policy.analysis.metrics[1].name;
        assert_eq!(outcome.by_metric.get(metric), Some(&25), "{outcome:?}");
        // The first 20 requests are not counted.
        assert!(outcome.executions.unwrap().p10 > 23.0, "{outcome:?}");
    }
    // Stable's own 1.8/s are too few to compare with: 108 in a minute.
    let policy = RolloutPolicy::phased();
    let outcome = simulate(&Inputs { slow_rate: 0.5, requests_per_second: 2.0, ..inputs(&policy) }).unwrap();
    assert_eq!(outcome.demoted, 0.0);
}

#[test]
fn errors_are_compared_with_stable() {
    let policy = policy(
        "analysis: {metrics: [{name: worse, type: error-rate, compareTo: stable, maxRatio: 1.5}]}\n\
         strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 2h}}]}}",
    );
    let same = Inputs { error_rate: 0.05, stable_error_rate: 0.05, ..inputs(&policy) };
    assert_eq!(simulate(&same).unwrap().demoted, 0.0);
    let worse = simulate(&Inputs { error_rate: 0.3, ..same }).unwrap();
    assert_eq!(worse.demoted, 1.0);
    assert!(worse.executions.unwrap().median > 3.0);
}

#[test]
fn where_stable_fails_as_well_nobody_is_blamed() {
    let policy = RolloutPolicy::phased();
    let outcome = simulate(&Inputs { error_rate: 0.5, stable_error_rate: 0.5, ..inputs(&policy) }).unwrap();
    assert_eq!((outcome.demoted, outcome.suspended), (0.0, 1.0));
}

#[test]
fn the_threshold_judge_demotes_healthy_canaries() {
    let policy = policy(
        "analysis: {judge: threshold, minRequests: 20, metrics: [{name: errors, type: error-rate, max: 0.01}]}\n\
         strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 30m}}]}}",
    );
    let healthy = Inputs { error_rate: 0.005, ..inputs(&policy) };
    assert!(simulate(&healthy).unwrap().demoted > 0.8);
    assert_eq!(simulate(&Inputs { error_rate: 0.0, ..healthy }).unwrap().promoted, 1.0);
    let first = Inputs { error_rate: 1.0, ..healthy };
    // 20 requests at 10/s.
    assert!((1.5..3.5).contains(&median(&first)));
}

#[test]
fn all_at_once_is_a_plan_like_others() {
    for auto in [true, false] {
        let policy = policy(&format!(
            "analysis: {{metrics: [{{name: errors, type: error-rate, max: 0.01}}]}}\n\
             strategy: {{blueGreen: {{autoPromote: {auto}}}}}"
        ));
        assert_eq!(simulate(&inputs(&policy)).unwrap().promoted, 1.0);
        assert!(median(&Inputs { error_rate: 1.0, ..inputs(&policy) }) < 0.3);
    }
}

#[test]
fn pauses_wait_for_executions_and_for_somebody() {
    let waiting = policy("strategy: {canary: {steps: [{setWeight: 10}, {pause: {}}]}}");
    assert_eq!(simulate(&inputs(&waiting)).unwrap().paused, 1.0);
    assert_eq!(simulate(&Inputs { error_rate: 0.2, ..inputs(&waiting) }).unwrap().demoted, 1.0);
    let counting =
        policy("strategy: {canary: {steps: [{setWeight: 10}, {pause: {duration: 1m, minExecutions: 9000}}]}}");
    // 75 minutes at 2/s, and 10 of watching.
    let outcome = |minutes| simulate(&Inputs { longest: Span::mins(minutes), ..inputs(&counting) }).unwrap();
    assert_eq!((outcome(70).unfinished, outcome(90).promoted), (1.0, 1.0));
}

#[test]
fn a_show_of_metrics_demotes_nothing_and_more_metrics_ask_for_more() {
    let shown = policy(
        "analysis: {metrics: [{name: errors, type: error-rate, max: 0.01, dryRun: true}]}\n\
         strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 10m}}]}}",
    );
    assert_eq!(simulate(&Inputs { error_rate: 1.0, ..inputs(&shown) }).unwrap().promoted, 1.0);
    let strict = |alpha: f64, least: u32| {
        let mut policy = RolloutPolicy::phased();
        policy.analysis.false_demotion_rate = alpha;
        policy.analysis.min_failures = least;
        simulate(&Inputs { error_rate: 0.2, ..inputs(&policy) }).unwrap().executions.unwrap().median
    };
    assert!(strict(1e-9, 3) > strict(1e-3, 3) && strict(1e-3, 3) >= strict(0.1, 3));
    assert!(strict(0.1, 30) > strict(0.1, 3));
}

#[test]
fn batches_count_by_their_rows() {
    let policy = RolloutPolicy::phased();
    let one = Inputs { error_rate: 0.05, ..inputs(&policy) };
    let executions = |inputs| simulate(inputs).unwrap().executions.unwrap().median;
    assert!(executions(&Inputs { batch_rows: 32, ..one }) * 5.0 < executions(&one));
}

#[test]
fn absurd_inputs_are_refused_by_name() {
    let (policy, mut broken) = (RolloutPolicy::phased(), RolloutPolicy::phased());
    broken.analysis.false_demotion_rate = 2.0;
    let good = inputs(&policy);
    let cases = [
        ("requestsPerSecond", Inputs { requests_per_second: 0.0, ..good }),
        ("requestsPerSecond", Inputs { requests_per_second: f64::NAN, ..good }),
        ("requestsPerSecond", Inputs { requests_per_second: 1e9, ..good }),
        ("batchRows", Inputs { batch_rows: 0, ..good }),
        ("errorRate", Inputs { error_rate: 1.5, ..good }),
        ("slowRate", Inputs { slow_rate: -0.1, ..good }),
        ("stableErrorRate", Inputs { stable_error_rate: f64::NAN, ..good }),
        ("runs", Inputs { runs: 0, ..good }),
        ("runs", Inputs { runs: 100_000, longest: Span::mins(24 * 60), ..good }),
        ("longest", Inputs { longest: Span::secs(0), ..good }),
        ("longest", Inputs { longest: Span::mins(60 * 24 * 365), ..good }),
        ("policy.analysis.falseDemotionRate", Inputs { policy: &broken, ..good }),
    ];
    for (key, inputs) in cases {
        let problem = simulate(&inputs).unwrap_err();
        assert_eq!(problem.key, key, "{problem}");
        assert!(problem.message.starts_with("expected "), "{problem}");
    }
}

#[test]
fn healthy_is_half_of_each_limit() {
    assert_eq!(healthy_rates(&RolloutPolicy::phased()), (0.005, 0.025));
    let none = policy(
        "analysis: {metrics: [{name: worse, type: error-rate, compareTo: stable, maxRatio: 2}]}\n\
                       strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 2h}}]}}",
    );
    assert_eq!(healthy_rates(&none), (0.0, 0.0));
}

#[test]
fn healthy_canaries_are_hardly_ever_demoted() {
    for mut policy in [RolloutPolicy::phased(), RolloutPolicy::four_steps()] {
        policy.analysis.false_demotion_rate = 0.05;
        let limit = Inputs { error_rate: 0.01, slow_rate: 0.05, runs: 200, ..inputs(&policy) };
        let outcome = simulate(&limit).unwrap();
        // 5 % of 200, and 3 standard deviations.
        assert!(outcome.demoted <= 0.1, "{outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn more_errors_are_found_no_later(
        seed: u64,
        rate in 0.05_f64..0.3,
        per_second in 5.0_f64..200.0,
        batch_rows in prop::sample::select(vec![1_u32, 4, 32]),
        preset in 0_usize..2,
    ) {
        let policy = RolloutPolicy::preset(RolloutPolicy::PRESETS[preset]).unwrap();
        let at = |error_rate| Inputs {
            error_rate, seed, batch_rows, requests_per_second: per_second, ..inputs(&policy)
        };
        // Three times as many: far beyond what 25 runs may be off by.
        prop_assert!(median(&at(3.0 * rate)) <= median(&at(rate)));
    }

    #[test]
    fn the_same_seed_gives_the_same(seed: u64, rate in 0.0_f64..1.0, slow in 0.0_f64..1.0, stable in 0.0_f64..0.1) {
        let policy = RolloutPolicy::phased();
        let inputs = Inputs {
            error_rate: rate, slow_rate: slow, stable_error_rate: stable, seed, runs: 4, ..inputs(&policy)
        };
        let outcome = simulate(&inputs).unwrap();
        prop_assert_eq!(&simulate(&inputs).unwrap(), &outcome);
        let Outcome { demoted, promoted, paused, aborted, suspended, unfinished, .. } = outcome;
        prop_assert!((demoted + promoted + paused + aborted + suspended + unfinished - 1.0).abs() < 1e-9);
    }
}
