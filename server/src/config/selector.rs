//! `stable` and `canary`: which version of a model serves, and which is on trial.

use super::{
    fields::Fields,
    setting::Setting,
    tree::{Node, Scalar, Source, Value},
    words::{Name, Stage},
};
use perch_models::registry::Selector;

/// The selectors outside of lists, where a stronger layer may meet a weaker one, and the policy, which is chosen as a
/// whole too.
const KEYS: [&str; 3] = ["registry.stable", "registry.canary", "registry.rollout"];

/// Whether the key of this path holds one of several forms, of which a stronger layer replaces all.
pub(super) fn is(path: &str) -> bool {
    KEYS.contains(&path)
}

/// `{alias: NAME}`, `{stage: NAME}`, `{version: N}` or `latest`. `stages`: whether there are any.
pub(super) fn take(f: &mut Fields, key: &'static str, default: Selector, stages: bool) -> Selector {
    const EXPECTED: &str = "{alias: NAME}, {stage: NAME}, {version: N} or latest";
    let Some(node) = f.node(key) else {
        f.record(key, shown(&default, Source::Default));
        return default;
    };
    let source = node.source.clone();
    let chosen = match node.value {
        Value::Scalar(scalar) if scalar.text == "latest" => Some(Selector::Latest),
        Value::Map(_) => {
            let (given, _) = f.inner(f.path(key), node, |f| {
                let alias = f.take_opt::<Name>("alias").map(|alias| Selector::Alias(alias.0));
                let stage = f.take_opt::<Stage>("stage").map(|stage| Selector::Stage(stage.0));
                let version = f.take_opt_in("version", 1_u64..).map(Selector::Version);
                [alias, stage, version]
            });
            let mut given = given.into_iter().flatten();
            // Nothing at all in it is nothing written; a wrong value has its error already.
            match (given.next(), given.next()) {
                (Some(_), Some(_)) => {
                    f.error(key, &source, format!("expected {EXPECTED}, got several"));
                    None
                }
                (Some(Selector::Stage(_)), None) if !stages => {
                    let message = "expected {alias: NAME}, {version: N} or latest: only an MLflow registry has stages";
                    f.error(key, &source, message);
                    None
                }
                (chosen, _) => chosen,
            }
        }
        Value::Broken => None,
        other => {
            let message = format!("expected {EXPECTED}, got {}", other.shown());
            f.error(key, &source, message);
            None
        }
    };
    let chosen = chosen.unwrap_or(default);
    f.record(key, shown(&chosen, source));
    chosen
}

/// A selector as the file would have it.
fn shown(selector: &Selector, source: Source) -> Node {
    let (key, scalar) = match selector {
        Selector::Alias(name) => ("alias", Scalar::text(name)),
        Selector::Stage(name) => ("stage", Scalar::text(name)),
        Selector::Version(number) => ("version", number.show()),
        Selector::Latest => return Node::new(Value::Scalar(Scalar::text("latest")), source),
    };
    let inner = Node::new(Value::Scalar(scalar), source.clone());
    Node::new(Value::Map(vec![(key.to_owned(), inner)]), source)
}
