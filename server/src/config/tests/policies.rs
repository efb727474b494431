//! Policies: where they are found, what is said of wrong ones, and what is printed of them.

use super::{Layers, env, layers, load, wrong};
use crate::config::{Rollout, Secret};
use perch_router::policy::{HashKey, Occasion, RolloutPolicy, SmokeTests};
use perch_router::split::Split;
use std::{path::Path, sync::Arc, time::Duration};

pub(super) const REGISTRY: &str = "registry: {path: /m}\n";
const WHOLE: &str = include_str!("../../../../router/tests/policy/whole.yaml");

/// A folder with a configuration and its policies.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn in_folder(dir: &Path, variables: &[(&str, &str)]) -> Layers {
    Layers::new().file(&dir.join("perch.yaml")).env(env(variables))
}

/// What is wrong, with the folder's name taken out.
fn wrong_in(dir: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    let errors = wrong(in_folder(dir, variables));
    errors.iter().map(|line| line.replace(&format!("{}/", dir.display()), "")).collect()
}

pub(super) fn inline(yaml: &str) -> Layers {
    let indented: String = yaml.lines().map(|line| format!("    {line}\n")).collect();
    layers(&format!("registry:\n  path: /m\n  rollout:\n{indented}"), &[("SLACK_WEBHOOK_URL", "https://slack/hook")])
}

fn registry(layers: Layers) -> Arc<Rollout> {
    load(layers).config.registry.rollout
}

#[test]
fn a_fallback_has_to_come_before_the_request_ends() {
    let late = |after: &str| {
        let yaml = format!(
            "server: {{requestTimeout: 3s}}\n{REGISTRY}models: [{{name: a, rollout: {{routing: {{fallback: {{after: {after}}}}}}}}}]\n"
        );
        let dir = folder(&[("perch.yaml", yaml.as_str())]);
        wrong_in(dir.path(), &[])
    };
    assert_eq!(
        late("3s"),
        [
            "models[0].rollout.routing.fallback.after (perch.yaml:3): expected less than server.requestTimeout (3s), got 3s"
        ]
    );
    let dir = folder(&[("perch.yaml", "server: {requestTimeout: 2s}\nregistry: {path: /m, rollout: four-steps}\n")]);
    let config = load(in_folder(dir.path(), &[])).config;
    let within = |timeout| config.registry.rollout.policy.after_within(timeout).0;
    // Twice its limit of a second is too long here: halfway from that to the end.
    assert_eq!(within(config.server.request_timeout), Duration::from_millis(1500));
    assert_eq!(within(Duration::from_secs(10)), Duration::from_secs(2));
    assert_eq!(within(Duration::from_millis(900)), Duration::from_secs(2), "no time is left");
}

#[test]
fn a_preset_a_file_or_in_place() {
    let dir = folder(&[
        (
            "perch.yaml",
            "registry: {path: /m, rollout: four-steps}\n\
             models:\n\
             - a\n\
             - {name: b, rollout: rollouts/b.yaml}\n\
             - {name: c, rollout: phased}\n\
             - name: d\n  rollout: {routing: {split: random}}\n\
             - {name: e, rollout: rollouts/b.yaml}\n",
        ),
        ("rollouts/b.yaml", "routing: {split: hash, hashKey: {field: \"${KEY}\"}}"),
    ]);
    let config = load(in_folder(dir.path(), &[("KEY", "user_id")])).config;
    let names: Vec<String> = config.models.iter().map(|model| model.rollout.name.clone()).collect();
    let file = dir.path().join("rollouts/b.yaml").display().to_string();
    assert_eq!(names, ["four-steps", file.as_str(), "phased", "inline", &file]);
    assert_eq!(config.models[0].rollout.policy, RolloutPolicy::four_steps());
    assert_eq!(config.models[1].rollout.policy.routing.hash_key, Some(HashKey::Field("user_id".to_owned())));
    assert_eq!(config.models[2].rollout.policy, RolloutPolicy::phased());
    assert_eq!(config.models[3].rollout.policy.routing.split, Split::Random);
    assert!(Arc::ptr_eq(&config.models[1].rollout, &config.models[4].rollout), "read once");
    assert_eq!(config.registry.model("z").rollout.policy, RolloutPolicy::four_steps());
}

#[test]
fn the_strongest_layer_counts_as_a_whole() {
    let file = "registry: {path: /m, rollout: {routing: {split: random}}}";
    let set = |value: &str| layers(file, &[("PERCH__REGISTRY__ROLLOUT", value)]);
    assert_eq!(registry(layers(file, &[])).name, "inline");
    assert_eq!(registry(set("four-steps")).name, "four-steps");
    let written = registry(set("{abort: {quarantine: 2h}}"));
    assert_eq!(
        (written.policy.routing.split, written.policy.abort.quarantine.to_string()),
        (Split::Balanced, "2h".into())
    );
    let flag = set("four-steps").flag("registry.rollout", Some("phased".to_owned()), "--rollout");
    assert_eq!(registry(flag).name, "phased");
    let dir = folder(&[("p.yaml", "abort: {quarantine: 3h}")]);
    let path = dir.path().join("p.yaml").display().to_string();
    assert_eq!(registry(set(&path)).policy.abort.quarantine.to_string(), "3h");
    let expected = |place: &str, got: &str| {
        [format!("registry.rollout ({place}): expected a preset (phased, four-steps) or a policy file, got {got}")]
    };
    assert_eq!(wrong(set("four-step")), expected("PERCH__REGISTRY__ROLLOUT", "\"four-step\""));
    let flag = set("phased").flag("registry.rollout", Some("none.yaml".to_owned()), "--rollout");
    assert_eq!(wrong(flag), expected("--rollout", "\"none.yaml\""));
    assert_eq!(wrong(layers("registry: {path: /m, rollout: [a]}", &[])), expected("perch.yaml:1", "a list"));
}

/// Cases of `policies.txt`: a policy file, and all that is said of it.
#[test]
fn every_error_at_once_with_its_place() {
    let cases: Vec<&str> = include_str!("policies.txt").split("\n---\n").collect();
    assert!(cases.len() > 8);
    for case in cases {
        let (policy, expected) = case.split_once("\n=>\n").unwrap();
        let dir = folder(&[
            ("perch.yaml", "registry: {path: /m, rollout: rollouts/curve.yaml}\n"),
            ("rollouts/curve.yaml", policy),
            ("rollouts/ftp", "ftp://hunter2"),
        ]);
        let found = wrong_in(dir.path(), &[("FTP", "ftp://hunter2"), ("EMPTY", "")]);
        assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{policy}");
        assert!(!found.join("\n").contains("hunter2"));
    }
}

#[test]
fn errors_in_place_have_the_line_of_the_file() {
    let policy = "\
routing: {splitt: hash}
analysis:
  metrics:
    - name: errors
      type: error-rate
      max: 0.5
notifications:
  - {type: slack, url: \"${NONE}\"}";
    assert_eq!(
        wrong(inline(policy)),
        [
            "registry.rollout.notifications[0].url (perch.yaml:11): the environment variable NONE is not set",
            "registry.rollout.routing.splitt (perch.yaml:4): unknown key, did you mean split?",
            "registry.rollout.analysis.metrics[0].max (perch.yaml:9): expected a share above 0 and at most 0.4, got 0.5",
            "registry.rollout.strategy.canary.steps[5].gate.metrics[0] (perch.yaml:3): expected one of \
             analysis.metrics (errors), got \"latency-vs-stable\"",
        ]
    );
    let model = "registry: {path: /m}\nmodels:\n- name: a\n  rollout: {abort: {quarantine: 5}}";
    assert_eq!(
        wrong(layers(model, &[])),
        ["models[0].rollout.abort.quarantine (perch.yaml:4): expected a duration such as 10s, 250ms, 5m or 24h, got 5"]
    );
}

#[test]
fn files_that_are_no_policies() {
    let read = |policy: &str| {
        let dir = folder(&[("perch.yaml", "registry: {path: /m, rollout: p.yaml}"), ("p.yaml", policy)]);
        wrong_in(dir.path(), &[])
    };
    assert_eq!(read("- a"), ["p.yaml: expected keys such as `strategy:`, got a list"]);
    assert_eq!(read("a: [1"), ["p.yaml:1:4: unclosed bracket '['"]);
    assert_eq!(read("abort: {}\nabort: {}"), ["p.yaml:2:1: the key \"abort\" is written twice in one mapping"]);
    assert_eq!(read("abort: {}\n---\nabort: {}"), ["p.yaml:3:1: expected one YAML document, got several"]);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let list = [format!("*a{}", i - 1); 1].iter().cycle().take(8).cloned().collect::<Vec<_>>().join(", ");
        bomb.extend([format!("a{i}: &a{i} [{list}]\n")]);
    }
    assert!(read(&bomb)[0].contains("too large or too complex"));
    assert_eq!(read(&"#".repeat(5 << 20)), ["p.yaml: is no configuration: larger than 4 MiB"]);
    let many: String = (0..1000).map(|i| format!("a{i}: 1\n")).collect();
    assert_eq!(read(&many).len(), 100);
    let dir = folder(&[("perch.yaml", "registry: {path: /m, rollout: sub}"), ("sub/x", "")]);
    assert!(wrong_in(dir.path(), &[])[0].starts_with("sub: cannot be read: "));
    // Said once, though two name it.
    let models = "registry: {path: /m}\nmodels: [{name: a, rollout: p.yaml}, {name: b, rollout: p.yaml}]";
    let dir = folder(&[("perch.yaml", models), ("p.yaml", "abord: {}")]);
    assert_eq!(wrong_in(dir.path(), &[]), ["p.yaml:1:1: abord: unknown key, did you mean abort?"]);
}

#[test]
fn addresses_are_found_and_hidden() {
    let dir = folder(&[
        ("perch.yaml", "registry: {path: /m, rollout: sub/p.yaml}"),
        ("sub/hook", "https://hooks.example.com/hunter2/file\n"),
        (
            "sub/p.yaml",
            "notifications:\n\
             - {type: slack, urlFrom: {env: HOOK}, on: [demoted]}\n\
             - {type: webhook, urlFrom: {file: hook}}\n\
             - {type: webhook, url: \"https://example.com/hunter2\"}\n\
             - {type: webhook, url: \"${HOOK}\"}\n\
             strategy: {blueGreen: {smokeTests: {file: tests.jsonl}}}\n",
        ),
    ]);
    let hook = ("HOOK", "https://hooks.example.com/hunter2/env");
    let loaded = load(in_folder(dir.path(), &[hook]));
    let rollout = &loaded.config.registry.rollout;
    let urls: Vec<&str> = rollout.receivers.iter().map(|receiver| receiver.url.expose()).collect();
    assert_eq!(urls, [hook.1, "https://hooks.example.com/hunter2/file", "https://example.com/hunter2", hook.1]);
    assert_eq!(rollout.receivers[0].on, [Occasion::Demoted]);
    let tests = rollout.policy.strategy.plan().smoke_tests;
    assert_eq!(tests, SmokeTests::File(dir.path().join("sub/tests.jsonl").display().to_string()));
    let yaml = loaded.to_yaml();
    let json = serde_json::to_string(&rollout.policy).unwrap();
    for shown in [yaml.clone(), loaded.to_json().to_string(), format!("{loaded:?}"), json] {
        assert!(!shown.contains("hunter2") && shown.contains("https://***"), "{shown}");
    }
    let again = load(Layers::new().file_text("printed.yaml", yaml).env(env(&[hook]))).config.registry.rollout;
    assert_eq!(again.policy, rollout.policy);
    assert_eq!(again.receivers[..2], rollout.receivers[..2]);
    assert_eq!(again.receivers[2].url, Secret::new("https://***"));
    assert_ne!(again, *rollout, "two addresses are not known any more");
}

#[test]
fn what_counts_is_printed_with_its_places() {
    let dir = folder(&[
        (
            "perch.yaml",
            "registry: {path: /m}\nmodels:\n- name: a\n  rollout: p.yaml\n- name: b\n  rollout: four-steps\n",
        ),
        (
            "p.yaml",
            "routing:\n  fallback: {budgetPercent: 12.5}\nstrategy:\n  canary:\n    steps:\n    - setWeight: 5\n    - pause:\n",
        ),
    ]);
    let loaded = load(in_folder(dir.path(), &[]));
    let yaml = loaded.to_yaml();
    let (_, models) = yaml.split_once("models:\n").unwrap();
    let (a, b) = models.split_once("  - name: b").unwrap();
    let (_, a) = a.split_once("    rollout:\n").unwrap();
    let p = dir.path().join("p.yaml").display().to_string();
    let words =
        |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let expected = format!(
        "routing:
split: balanced # default
fallback:
on:
- error # default
- timeout # default
- invalidOutput # default
budgetPercent: 12.5 # {p}:2
burst: 1000 # default
analysis:
judge: sequential # default
falseDemotionRate: 0.001 # default
minFailures: 3 # default
warmupRequests: 20 # default
metrics:
- name: errors # default
type: error-rate # default
max: 0.01 # default
- name: latency-vs-stable # default
type: latency # default
quantile: p95 # default
compareTo: stable # default
maxRatio: 1.2 # default
onStableFailing: suspend # default
strategy:
canary:
steps:
- setWeight: 5 # {p}:6
- pause: {{}} # {p}:7
scaleDownDelay: 10m # default
abort:
quarantine: 24h # default
fleet:
maxReplicas: 100 # default
minReady: 100 # default
readyWithin: 10m # default
notifications: [] # default"
    );
    assert_eq!(words(a), expected.lines().collect::<Vec<_>>());
    assert!(b.contains("- setWeight: 25"), "{b}");
    let named = format!("{}:6", dir.path().join("perch.yaml").display());
    assert!(b.lines().filter(|line| line.contains("setWeight")).all(|line| line.ends_with(&named)), "{b}");
    assert_eq!(load(Layers::new().file_text("printed.yaml", yaml)).config, loaded.config);
    let json = loaded.to_json();
    let weight = json.pointer("/models/0/rollout/strategy/canary/steps/0/setWeight").map(ToString::to_string);
    assert_eq!(weight, Some(format!(r#"{{"value":5,"source":"{p}:6"}}"#)));
}

#[test]
fn the_routers_own_sample_is_read_as_the_router_reads_it() {
    let policy = &registry(inline(WHOLE)).policy;
    let mut expected: RolloutPolicy = serde_saphyr::from_str(WHOLE).unwrap();
    expected.notifications[1].url = Some("https://***".to_owned());
    assert_eq!(*policy, expected);
}

/// What the documentation shows is a policy that loads, beside a configuration that loads.
#[test]
fn the_documented_files() {
    let text = include_str!("../../../../docs/policy.md");
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let dir = folder(&[("perch.yaml", blocks[0]), ("rollouts/curve.yaml", blocks[1])]);
    let config = load(in_folder(dir.path(), &[("SLACK_WEBHOOK_URL", "https://hooks.example.com/x")])).config;
    assert_eq!(config.models[0].rollout.receivers.len(), 1);
    assert_eq!(config.models[1].rollout.policy.abort.quarantine.to_string(), "2h");
}
