//! The list of models: read from the file, and chosen from by flags.

use super::{
    fields::Fields,
    read::SHORTEST,
    schema::{Batching, Model},
    setting::Setting,
    tree::{Node, Scalar, Source, Value},
    words::{Instances, Name},
};
use perch_models::registry::Selector;

/// The most rows of one batch.
const MAX_ROWS: usize = 65_536;

/// Reads `models`. Flags name the models to serve: those keep the settings that the file has for
/// them, and one that the file does not have gets the defaults. All of the file is checked still.
pub(super) fn models(root: &mut Fields, flagged: &[(String, Source)]) -> Vec<Model> {
    let (items, mut source) = root.items("models");
    let mut read = Vec::new();
    for item in items {
        read.push(one(root, read.len(), item));
    }
    refuse_twice(root, &read);
    if let Some((_, flag)) = flagged.first() {
        source = flag.clone();
        let mut chosen = Vec::new();
        for (name, flag) in flagged {
            chosen.push(match read.iter().find(|(model, _)| model.name == *name) {
                Some((model, node)) => (model.clone(), renamed(node, flag)),
                None => {
                    let scalar = Value::Scalar(Scalar::loose(name));
                    one(root, chosen.len(), Node::new(scalar, flag.clone()))
                }
            });
        }
        refuse_twice(root, &chosen);
        read = chosen;
    }
    let (models, nodes) = read.into_iter().unzip();
    root.record("models", Node::new(Value::List(nodes), source));
    models
}

/// One item: a mapping, or a name alone.
fn one(root: &mut Fields, index: usize, item: Node) -> (Model, Node) {
    let Node { value, source } = item;
    let value = match value {
        name @ Value::Scalar(_) => Value::Map(vec![("name".to_owned(), Node::new(name, source.clone()))]),
        value => value,
    };
    root.inner(format!("models[{index}]"), Node::new(value, source), model)
}

fn model(f: &mut Fields) -> Model {
    let name = f.require::<Name>("name", "the name of a model").map_or_else(String::new, |name| name.0);
    let default = Model::named(name);
    Model {
        required: f.take("required", default.required),
        stable: selector(f, "stable", default.stable),
        canary: selector(f, "canary", default.canary),
        device: f.take_opt("device"),
        threads: f.take_opt("threads"),
        instances: f.take_opt::<Instances>("instances").map(|count| count.0),
        load_timeout: f.take_in("loadTimeout", default.load_timeout, SHORTEST..),
        batching: f.section("batching", |f| {
            let default = Batching::default();
            Batching {
                max_rows: f.take_in("maxRows", default.max_rows, 1..=MAX_ROWS),
                max_queue: f.take_in("maxQueue", default.max_queue, SHORTEST..),
            }
        }),
        name: default.name,
    }
}

/// `{alias: NAME}`, `{version: N}` or `latest`.
fn selector(f: &mut Fields, key: &'static str, default: Selector) -> Selector {
    const EXPECTED: &str = "{alias: NAME}, {version: N} or latest";
    let Some(node) = f.node(key) else {
        f.record(key, shown(&default, Source::Default));
        return default;
    };
    let source = node.source.clone();
    let chosen = match node.value {
        Value::Scalar(scalar) if scalar.text == "latest" => Some(Selector::Latest),
        Value::Map(_) => {
            let ((alias, version), _) =
                f.inner(f.path(key), node, |f| (f.take_opt::<Name>("alias"), f.take_opt_in("version", 1_u64..)));
            match (alias, version) {
                (Some(_), Some(_)) => {
                    f.error(key, &source, format!("expected {EXPECTED}, got both"));
                    None
                }
                (Some(alias), None) => Some(Selector::Alias(alias.0)),
                // Nothing at all in it is nothing written; a wrong value has its error already.
                (None, version) => version.map(Selector::Version),
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
        Selector::Version(number) => ("version", number.show()),
        Selector::Latest => return Node::new(Value::Scalar(Scalar::text("latest")), source),
    };
    let inner = Node::new(Value::Scalar(scalar), source.clone());
    Node::new(Value::Map(vec![(key.to_owned(), inner)]), source)
}

/// The record of a model that a flag chose: its name comes from there.
fn renamed(node: &Node, flag: &Source) -> Node {
    let mut node = node.clone();
    if let Value::Map(entries) = &mut node.value {
        for (_, name) in entries.iter_mut().filter(|(key, _)| key == "name") {
            name.source = flag.clone();
        }
    }
    node
}

/// Names are unique: two entries for one model would contradict each other.
fn refuse_twice(root: &mut Fields, read: &[(Model, Node)]) {
    for (i, (model, node)) in read.iter().enumerate() {
        let first = read.iter().position(|(other, _)| other.name == model.name);
        // An empty name has its own error already.
        if let Some(first) = first.filter(|first| *first < i && !model.name.is_empty()) {
            let source = node.find("name").map_or(&node.source, |name| &name.source);
            root.error_at(&format!("models[{i}]"), source, format!("{} is models[{first}] already", model.name));
        }
    }
}
