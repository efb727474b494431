//! A policy as a file would have it, every default included, with the place of each value.

use crate::config::tree::{Kind, Node, Scalar, Source, Value};
use perch_router::policy::RolloutPolicy;
use serde_json::Value as Json;

/// `written` is the tree that the policy was read from; what is not in it has the source `otherwise`.
pub(super) fn node(policy: &RolloutPolicy, written: Option<&Node>, otherwise: &Source) -> Node {
    // Plain structs with text for keys: writing them into a tree cannot fail.
    let json = serde_json::to_value(policy).unwrap_or_default();
    of(json, written, otherwise)
}

fn of(json: Json, written: Option<&Node>, otherwise: &Source) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(on) => Value::Scalar(Scalar::new(on.to_string(), Kind::Bool)),
        Json::Number(number) => Value::Scalar(match number.as_f64().filter(|_| number.is_f64()) {
            // As a person writes it: 20, not 20.0.
            Some(float) => Scalar::number(float),
            None => Scalar::number(number),
        }),
        Json::String(text) => Value::Scalar(Scalar::text(text)),
        Json::Array(items) => {
            let written = |i: usize| match written.map(|node| &node.value) {
                Some(Value::List(nodes)) => nodes.get(i),
                _ => None,
            };
            Value::List(items.into_iter().enumerate().map(|(i, item)| of(item, written(i), otherwise)).collect())
        }
        Json::Object(entries) => {
            let written = |key: &str| match written.map(|node| &node.value) {
                Some(Value::Map(nodes)) => nodes.iter().find(|(k, _)| k == key).map(|(_, node)| node),
                _ => None,
            };
            let entry = |(key, value): (String, Json)| {
                // A key without a value is as if it were not there, but for a step: `pause:` is one.
                let counts = |node: &&Node| node.value != Value::Null || value.is_object();
                let written = written(&key).filter(counts);
                let node = of(value, written, otherwise);
                (key, node)
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node::new(value, written.map_or(otherwise, |node| &node.source).clone())
}
