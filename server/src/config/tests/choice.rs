//! Which models and which of their versions the registry serves.

use super::{layers, load, wrong};
use crate::config::{ModelSource, TagFilter};
use perch_models::registry::Selector;

const SHELL: (&str, &str) = ("MLFLOW_TRACKING_URI", "http://shell:5000");
const HOME: (&str, &str) = ("HOME", "/home/me");

#[test]
fn a_tag_chooses_models() {
    let select = |file: &str, flags: &[&str]| {
        let names: Vec<String> = flags.iter().map(|name| (*name).to_owned()).collect();
        load(layers(file, &[SHELL, HOME]).flag("models", names, "--model")).config.registry.select
    };
    let own = TagFilter { key: "team".to_owned(), value: None };
    assert_eq!(select("", &[]), Some(TagFilter::serve()));
    assert_eq!(select("models: []", &[]), Some(TagFilter::serve()));
    assert_eq!(select("models: [a]", &[]), None);
    assert_eq!(select("", &["a"]), None);
    assert_eq!(select("models: [a]\nregistry: {select: {tag: team}}", &[]), Some(own));
    assert_eq!(load(layers("registry: {path: m}", &[])).config.registry.select, None);
}

#[test]
fn selectors_of_the_registry() {
    let file = "\
registry:
  stable: {stage: Production}
  canary: {alias: next}
models:
  - a
  - {name: b, stable: latest}
  - {name: c, source: file:///models/c}
  - {name: d, source: Model d}
";
    let config = load(layers(file, &[SHELL, HOME])).config;
    let production = Selector::Stage("Production".to_owned());
    let alias = |name: &str| Selector::Alias(name.to_owned());
    let models: Vec<_> = config.models.iter().map(|m| (&m.source, &m.stable, &m.canary)).collect();
    let named = |name: &str| ModelSource::Named(name.to_owned());
    assert_eq!(
        models,
        [
            (&named("a"), &production, &alias("next")),
            (&named("b"), &Selector::Latest, &alias("next")),
            (&ModelSource::Folder("/models/c".into()), &alias("stable"), &alias("next")),
            (&named("Model d"), &production, &alias("next")),
        ]
    );
    assert_eq!(config.registry.model("e").stable, production);
    // A selector is replaced as a whole.
    let env = [SHELL, HOME, ("PERCH__REGISTRY__STABLE", "{version: 3}"), ("PERCH__REGISTRY__CANARY", "latest")];
    let registry = load(layers(file, &env)).config.registry;
    assert_eq!((registry.stable, registry.canary), (Selector::Version(3), Selector::Latest));
}

#[test]
fn stages_need_mlflow() {
    let file = "\
registry:
  path: m
  canary: {stage: Staging}
models:
  - name: a
    stable: {stage: Production}
  - {name: b, source: s3://bucket/b}
";
    let message = "expected {alias: NAME}, {version: N} or latest: only an MLflow registry has stages";
    assert_eq!(
        wrong(layers(file, &[])),
        [
            format!("registry.canary (perch.yaml:3): {message}"),
            format!("models[0].stable (perch.yaml:6): {message}"),
            "models[1].source (perch.yaml:7): expected the model's name in the registry, or a folder as \
             file:///FOLDER, got \"s3://bucket/b\""
                .to_owned(),
        ]
    );
    let folder = "models: [{name: a, source: file:///m/a, stable: {stage: Production}}]";
    assert_eq!(wrong(layers(folder, &[SHELL, HOME])), [format!("models[0].stable (perch.yaml:1): {message}")]);
}
