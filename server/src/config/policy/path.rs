//! Where a value stands in a policy: `analysis.metrics[0].max`.

use crate::config::tree::{Node, Source, Value, join};
use std::fmt;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key(String),
    At(usize),
}

/// From the top of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Part>);

impl Path {
    pub fn key(&self, key: &str) -> Self {
        self.and(Part::Key(key.to_owned()))
    }

    pub fn item(&self, index: usize) -> Self {
        self.and(Part::At(index))
    }

    fn and(&self, part: Part) -> Self {
        Self(self.0.iter().cloned().chain([part]).collect())
    }

    /// As the router writes it, whose keys are plain words.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        for word in text.split('.') {
            let mut pieces = word.split('[');
            parts.extend(pieces.next().map(|key| Part::Key(key.to_owned())));
            parts.extend(pieces.filter_map(|index| index.trim_end_matches(']').parse().ok()).map(Part::At));
        }
        Self(parts)
    }

    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The same, below `top`.
    pub fn below(&self, top: &str) -> String {
        self.0.iter().fold(top.to_owned(), |path, part| match part {
            Part::Key(key) => join(&path, key),
            Part::At(index) => format!("{path}[{index}]"),
        })
    }

    /// Where this is written, or what is nearest around it; the default where nothing is.
    pub fn source(&self, root: &Node) -> Source {
        let mut node = root;
        for part in &self.0 {
            match child(node, part) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.source.clone()
    }

    /// The value here, to be changed.
    pub fn value_in<'n>(&self, root: &'n mut Node) -> Option<&'n mut Value> {
        let node = self.0.iter().try_fold(root, |node, part| match (&mut node.value, part) {
            (Value::Map(entries), Part::Key(key)) => entries.iter_mut().find(|(k, _)| k == key).map(|(_, n)| n),
            (Value::List(items), Part::At(index)) => items.get_mut(*index),
            _ => None,
        })?;
        Some(&mut node.value)
    }
}

fn child<'n>(node: &'n Node, part: &Part) -> Option<&'n Node> {
    match (&node.value, part) {
        (Value::Map(entries), Part::Key(key)) => entries.iter().find(|(k, _)| k == key).map(|(_, n)| n),
        (Value::List(items), Part::At(index)) => items.get(*index),
        _ => None,
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.below(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for text in ["", "strategy", "analysis.metrics[0].max", "strategy.canary.steps[12].gate.metrics[1]"] {
            if !text.is_empty() {
                assert_eq!(Path::parse(text).to_string(), text);
            }
        }
        let path = Path::parse("notifications[1]");
        assert!(path.key("url").starts_with(&path) && !path.starts_with(&path.key("url")));
        assert_eq!(path.key("odd key").below("models[0].rollout"), "models[0].rollout.notifications[1].\"odd key\"");
    }
}
