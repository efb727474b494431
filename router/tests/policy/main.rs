//! Policies as they are written, and what is said of those that do not fit together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use perch_router::{
    policy::{GateStep, HashKey, Metric, Pause, Plan, Promote, RolloutPolicy, Rule, SmokeTests, Span, Step},
    split::Split,
    weight::Weight,
};

fn policy(yaml: &str) -> RolloutPolicy {
    serde_saphyr::from_str(yaml).unwrap()
}

fn problems(yaml: &str) -> Vec<String> {
    policy(yaml).problems().iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_policy_is_read() {
    let policy = policy(include_str!("whole.yaml"));
    assert_eq!(policy.problems(), []);
    assert_eq!(policy.routing.split, Split::Hash);
    assert_eq!(policy.after(), Span::secs(3));
    let rules: Vec<Rule> = policy.analysis.metrics.iter().map(|metric| metric.rule("").unwrap()).collect();
    assert!(matches!(rules[0], Rule::Errors(limit) if limit.share().to_bits() == 0.01_f64.to_bits()));
    assert!(
        matches!(rules[1], Rule::Latency { share, max } if share.share().to_bits() == 0.05_f64.to_bits() && max == Span::secs(1))
    );
    assert!(matches!(rules[2], Rule::ErrorsToStable { ratio } if ratio.to_bits() == 1.5_f64.to_bits()));
    assert!(matches!(rules[3], Rule::LatencyToStable { .. }));
    assert_eq!(policy.analysis.judged().count(), 3);
    let Plan { steps, .. } = policy.strategy.plan();
    assert_eq!(steps[0], Step::SetWeight(Weight::from_percent(12.5).unwrap()));
    assert_eq!(steps[1], Step::Pause(Pause { duration: Some(Span::mins(5)), min_executions: 329 }));
    assert!(matches!(&steps[2], Step::Gate(GateStep { metrics, .. }) if metrics == &["errors"]));
    assert_eq!(steps.last(), Some(&Step::Promote(Promote { move_alias: false })));
}

#[test]
fn policies_survive_the_store() {
    let all = [policy(include_str!("whole.yaml")), RolloutPolicy::phased(), RolloutPolicy::four_steps()];
    let more = [
        policy("strategy: {blueGreen: {}}"),
        policy(
            "{routing: {split: hash, hashKey: {field: u}}, strategy: {canary: {smokeTests: true, steps: [setWeight: 5]}}}",
        ),
    ];
    for policy in all.into_iter().chain(more) {
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<RolloutPolicy>(&json).unwrap(), policy, "{json}");
    }
}

#[test]
fn presets_fit_together() {
    for name in RolloutPolicy::PRESETS {
        assert_eq!(RolloutPolicy::preset(name).unwrap().problems(), [], "{name}");
    }
    assert_eq!(RolloutPolicy::preset("other"), None);
    assert_eq!(policy("{}"), RolloutPolicy::phased());
    assert_eq!(RolloutPolicy::phased().after(), Span::secs(1));
    assert_eq!(RolloutPolicy::four_steps().after(), Span::secs(2));
    assert_eq!(RolloutPolicy::four_steps().strategy.plan().steps.len(), 9);
}

#[test]
fn every_strategy_ends_with_a_promotion() {
    let steps = |yaml: &str| policy(yaml).strategy.plan().steps;
    assert_eq!(
        steps("strategy: {canary: {steps: [setWeight: 5]}}"),
        [Step::SetWeight("5".parse().unwrap()), Step::Promote(Promote { move_alias: true })]
    );
    let watch = Step::Pause(Pause { duration: Some(Span::mins(3)), min_executions: 0 });
    let promote = Step::Promote(Promote { move_alias: true });
    assert_eq!(
        steps("strategy: {blueGreen: {watch: 3m, autoPromote: false}}"),
        [Step::Pause(Pause::default()), Step::SetWeight(Weight::FULL), watch, promote]
    );
}

#[test]
fn smoke_tests_are_off_own_or_in_a_file() {
    let tests = |yaml: &str| policy(yaml).strategy.plan().smoke_tests;
    let file = || SmokeTests::File("curve.jsonl".to_owned());
    assert_eq!(tests("strategy: {blueGreen: {}}"), SmokeTests::Own);
    assert_eq!(tests("strategy: {blueGreen: {smokeTests: false}}"), SmokeTests::Off);
    assert_eq!(tests("strategy: {blueGreen: {smokeTests: {file: curve.jsonl}}}"), file());
    assert_eq!(tests("strategy: {canary: {steps: [setWeight: 5]}}"), SmokeTests::Off);
    assert_eq!(tests("strategy: {canary: {smokeTests: {file: curve.jsonl}, steps: [setWeight: 5]}}"), file());
    assert_eq!(tests("{}"), SmokeTests::Off);
    // As rollouts that were started before this was more than true or false have stored it.
    for (json, tests) in [("true", SmokeTests::Own), ("false", SmokeTests::Off), (r#"{"file":"curve.jsonl"}"#, file())]
    {
        let stored = format!(r#"{{"steps":[],"scaleDownDelay":"10m","smokeTests":{json}}}"#);
        let plan: Plan = serde_json::from_str(&stored).unwrap();
        assert_eq!(plan.smoke_tests, tests);
        assert_eq!(serde_json::to_string(&plan).unwrap(), stored);
    }
}

#[test]
fn the_hash_is_of_a_header_or_of_a_field() {
    let key = |yaml: &str| policy(&format!("routing: {{split: hash, hashKey: {yaml}}}")).routing.hash_key;
    assert_eq!(key("{header: X-User-Id}"), Some(HashKey::Header("X-User-Id".to_owned())));
    assert_eq!(key("{field: user_id}"), Some(HashKey::Field("user_id".to_owned())));
    let json = serde_json::to_string(&key("{field: user_id}")).unwrap();
    assert_eq!(json, r#"{"field":"user_id"}"#);
}

#[test]
fn what_does_not_fit_together_is_said_all_at_once() {
    let cases: Vec<(String, Vec<String>)> = include_str!("problems.txt")
        .split("\n---\n")
        .map(|case| case.split_once("\n=>\n").unwrap())
        .map(|(yaml, lines)| (yaml.to_owned(), lines.lines().map(str::to_owned).collect()))
        .collect();
    assert!(cases.len() > 10);
    for (yaml, expected) in cases {
        assert_eq!(problems(&yaml), expected, "{yaml}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for (yaml, part) in [
        ("routing: {splitt: hash}", "splitt"),
        ("routing: {split: even}", "even"),
        ("routing: {hashKey: {header: a, field: b}}", ""),
        ("routing: {hashKey: {}}", ""),
        ("routing: {hashKey: {cookie: a}}", "cookie"),
        ("strategy: {blueGreen: {smokeTests: some}}", "true, false or {file: PATH}"),
        ("strategy: {blueGreen: {smokeTests: {path: x}}}", "path"),
        ("analysis: {metrics: [{name: a, type: error-rate, max: 1x}]}", "expected a duration"),
        ("analysis: {metrics: [{name: a, type: latency, quantile: 95, max: 1s}]}", "p99.9"),
        ("strategy: {canary: {steps: [setWeight: 101]}}", "percent from 0 to 100"),
        ("strategy: {canary: {steps: [pause: 5m]}}", ""),
        ("strategy: {canary: {steps: [{wait: 5m}]}}", "wait"),
        ("abort: {quarantine: 24}", "24h"),
        ("notifications: [{type: mail, url: x}]", "mail"),
    ] {
        let error = serde_saphyr::from_str::<RolloutPolicy>(yaml).unwrap_err().to_string();
        assert!(error.contains(part), "{yaml}: {error}");
    }
}

#[test]
fn metrics_name_their_own_key() {
    let metric: Metric = serde_json::from_str(r#"{"name": "e", "type": "error-rate", "max": 0.5}"#).unwrap();
    let problem = metric.rule("analysis.metrics[7]").unwrap_err();
    assert_eq!(problem.to_string(), "analysis.metrics[7].max: expected a share above 0 and at most 0.4, got 0.5");
}
