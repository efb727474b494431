//! The list of models: read from the file, and chosen from by flags.

use std::time::Duration;

use super::{
    fields::Fields,
    policy::{Policies, Read},
    read::{SHORTEST, placement},
    schema::{Batching, Model, ModelSource, Registry, Runtime},
    selector,
    tree::{Node, Scalar, Source, Value},
    words::{Instances, Name},
};

/// The most rows of one batch.
const MAX_ROWS: usize = 65_536;
/// The most that a request may be made to wait for company.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// What models take from their registry.
pub(super) struct Inherited<'r> {
    /// Where models compute that do not say it themselves.
    pub runtime: &'r Runtime,
    pub registry: &'r Registry,
    /// Whether it has stages, or may have: an error elsewhere says more.
    pub stages: bool,
    /// Its policy, as it was read.
    pub rollout: Read,
    /// Reads those of models.
    pub policies: Policies<'r>,
}

/// Reads the items of `models`. Flags name the models to serve: those keep the settings that the
/// file has for them, and one that the file does not have gets the defaults. All of the file is
/// checked still.
pub(super) fn models(
    root: &mut Fields,
    (items, mut source): (Vec<Node>, Source),
    flagged: &[(String, Source)],
    inherited: &mut Inherited<'_>,
) -> Vec<Model> {
    let mut read = Vec::new();
    for item in items {
        read.push(one(root, read.len(), item, inherited));
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
                    one(root, chosen.len(), Node::new(scalar, flag.clone()), inherited)
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
fn one(root: &mut Fields, index: usize, item: Node, inherited: &mut Inherited<'_>) -> (Model, Node) {
    let Node { value, source } = item;
    let value = match value {
        name @ Value::Scalar(_) => Value::Map(vec![("name".to_owned(), Node::new(name, source.clone()))]),
        value => value,
    };
    root.inner(format!("models[{index}]"), Node::new(value, source), |f| model(f, inherited))
}

fn model(f: &mut Fields, inherited: &mut Inherited<'_>) -> Model {
    let name = f.require::<Name>("name", "the name of a model").map_or_else(String::new, |name| name.0);
    let source = f.take("source", ModelSource::Named(name.clone()));
    let default = inherited.registry.model_from(name, source);
    // A folder has none, wherever the others come from.
    let stages = inherited.stages && matches!(default.source, ModelSource::Named(_));
    let required = f.take("required", default.required);
    let stable = selector::take(f, "stable", default.stable, stages);
    let canary = selector::take(f, "canary", default.canary, stages);
    let own = f.take_opt("device");
    let device = own.unwrap_or(inherited.runtime.device);
    Model {
        required,
        stable,
        canary,
        device: own,
        precision: placement::precision(f, device),
        memory_limit: placement::memory_limit(f, device),
        agreement: placement::agreement(f),
        threads: f.take_opt("threads"),
        instances: f.take_opt::<Instances>("instances").map(|count| count.0),
        load_timeout: f.take_in("loadTimeout", default.load_timeout, SHORTEST..),
        batching: f.section("batching", |f| {
            let default = Batching::default();
            Batching {
                max_rows: f.take_in("maxRows", default.max_rows, 1..=MAX_ROWS),
                max_queue: f.take_in("maxQueue", default.max_queue, SHORTEST..),
                max_delay: f.take_in("maxDelay", default.max_delay, Duration::ZERO..=LONGEST_DELAY),
                buckets: placement::buckets(f),
            }
        }),
        cache: f.take("cache", default.cache),
        rollout: inherited.policies.take(f, &inherited.rollout).rollout,
        name: default.name,
        source: default.source,
    }
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
