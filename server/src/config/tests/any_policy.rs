//! Policies of many kinds, and what is nearly one.

use super::policies::{REGISTRY, inline};
use super::{Config, Layers, layers, load};
use perch_router::policy::RolloutPolicy;
use proptest::prelude::*;

/// A policy of many kinds.
fn policies() -> impl Strategy<Value = String> {
    let routing = prop_oneof![
        Just("{}".to_owned()),
        "[A-Za-z-]{1,8}".prop_map(|name| format!("{{split: hash, hashKey: {{header: \"{name}\"}}}}")),
        "[ -~é]{1,8}".prop_map(|name| {
            let name = name.replace(['\\', '"', '$'], "");
            format!("{{split: hash, hashKey: {{field: \"a{name}\"}}}}")
        }),
        (0_u32..=1000, 1_u64..100_000, any::<u32>()).prop_map(|(percent, ms, burst)| {
            let percent = f64::from(percent) / 10.0;
            format!(
                "{{fallback: {{on: [timeout], budgetPercent: {percent}, after: {}ms, burst: {burst}}}}}",
                2000 + ms % 8000
            )
        }),
    ];
    let analysis = (1_u32..4000, 1_u64..2000, any::<bool>()).prop_map(|(share, ms, dry)| {
        let share = f64::from(share) / 10_000.0;
        format!(
            "{{metrics: [{{name: errors, type: error-rate, max: {share}, dryRun: {dry}}}, {{name: \"l: #1\", type: latency, \
             quantile: p99.9, max: {ms}ms}}], warmupRequests: 0}}"
        )
    });
    let strategy = prop_oneof![
        (1_u32..=10_000, 1_u64..10_000).prop_map(|(weight, seconds)| {
            let weight = f64::from(weight) / 100.0;
            format!(
                "{{canary: {{smokeTests: true, steps: [setWeight: {weight}, pause: {{duration: {seconds}s, \
                 minExecutions: {seconds}}}, gate: {{metrics: [errors], confidence: 0.99}}, pause: , promote: {{moveAlias: \
                 false}}]}}}}"
            )
        }),
        "[a-z/ .]{1,8}".prop_map(|file| format!("{{blueGreen: {{autoPromote: false, smokeTests: {{file: \"x{file}\"}}}}}}")),
    ];
    (routing, analysis, strategy, "[ -~]{0,8}").prop_map(|(routing, analysis, strategy, path)| {
        let path = path.replace(['\\', '"', '$', '@', '#'], "");
        format!(
            "routing: {routing}\nanalysis: {analysis}\nstrategy: {strategy}\n\
             notifications: [{{type: webhook, url: \"http://h/{}\", on: [demoted]}}]\n",
            path.replace(char::is_whitespace, "")
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn printed_policies_load_to_the_same(policy in policies()) {
        let loaded = load(inline(&policy));
        let direct: RolloutPolicy = serde_saphyr::from_str(&policy).unwrap();
        let read = &loaded.config.registry.rollout;
        prop_assert_eq!(&read.policy.analysis, &direct.analysis);
        prop_assert_eq!(&read.policy.routing, &direct.routing);
        prop_assert_eq!(read.policy.strategy.plan().steps, direct.strategy.plan().steps);
        let again = load(Layers::new().file_text("printed.yaml", loaded.to_yaml())).config.registry.rollout;
        prop_assert_eq!(&again.policy, &read.policy);
    }

    #[test]
    fn anything_like_a_policy_is_an_answer(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..30),
    ) {
        let text = format!("{REGISTRY}models: [{{name: a, rollout: {{{}}}}}]", pieces.concat());
        if let Err(errors) = Config::load(layers(&text, &[])) {
            prop_assert_eq!(errors.to_string().lines().count(), errors.0.len());
        }
    }
}

const PIECES: [&str; 26] = [
    "routing: ",
    "split: hash",
    "hashKey: ",
    "analysis: ",
    "metrics: ",
    "name: a",
    "type: latency",
    "max: ",
    "strategy: ",
    "canary: ",
    "steps: ",
    "setWeight: ",
    "pause: ",
    "gate: ",
    "promote",
    "notifications: ",
    "url",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "10",
    "5m",
    "blueGreen: ",
    "\"${X}\"",
];
