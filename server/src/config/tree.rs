//! The merged tree: every value with the place it came from, before anybody asks what it means.

use super::{env::PREFIX, error::quote};
use std::{fmt, sync::Arc};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file as the user named it.
        name: Arc<str>,
        /// The line of the key, from 1.
        line: u64,
        /// Its column, from 1.
        column: u64,
    },
    /// An environment variable, by its name.
    Env(Arc<str>),
    /// A flag of the command line, such as `--listen`.
    Flag(Arc<str>),
}

/// How strong a source is: what a stronger one says counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Default,
    WellKnown,
    File,
    Ours,
    Flag,
}

impl Source {
    /// The place with its column, where it has one: `rollouts/curve.yaml:12:9`.
    pub(super) fn exact(&self) -> String {
        match self {
            Self::File { column, .. } => format!("{self}:{column}"),
            other => other.to_string(),
        }
    }

    pub(super) fn layer(&self) -> Layer {
        match self {
            Self::Default => Layer::Default,
            Self::Env(name) if name.starts_with(PREFIX) => Layer::Ours,
            Self::Env(_) => Layer::WellKnown,
            Self::File { .. } => Layer::File,
            Self::Flag(_) => Layer::Flag,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, .. } => write!(f, "{name}:{line}"),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Written, but empty: the same as the default.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the source, so that findings and suggestions follow it.
    Map(Vec<(String, Node)>),
    /// Already reported as an error: nobody says anything more about it.
    Broken,
}

/// A single value as text. What it means is decided by the key that it is written under.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scalar {
    pub text: String,
    pub kind: Kind,
}

/// What the source says about a scalar's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    /// The source has no types (a variable, a flag): it is whatever the key wants.
    Loose,
}

impl Scalar {
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text, Kind::Text)
    }

    pub fn number(number: impl fmt::Display) -> Self {
        Self::new(number.to_string(), Kind::Number)
    }

    pub fn loose(text: impl Into<String>) -> Self {
        Self::new(text, Kind::Loose)
    }

    pub fn new(text: impl Into<String>, kind: Kind) -> Self {
        Self { text: text.into(), kind }
    }

    /// The message for a scalar that does not fit: `expected a size, got "lots"`.
    pub fn expected(&self, what: &str) -> String {
        format!("expected {what}, got {}", self.shown())
    }

    /// The scalar as a message repeats it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::Text | Kind::Loose => quote(&self.text),
            Kind::Number | Kind::Bool => self.text.clone(),
        }
    }
}

impl Value {
    /// What a message calls this value.
    pub fn shown(&self) -> String {
        match self {
            Self::Null | Self::Broken => "nothing".to_owned(),
            Self::Scalar(scalar) => scalar.shown(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl Node {
    pub fn new(value: Value, source: Source) -> Self {
        Self { value, source }
    }

    pub fn empty() -> Self {
        Self::new(Value::Map(Vec::new()), Source::Default)
    }

    /// The node under a path such as `server.listen`.
    pub fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| match &node.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, n)| n),
            _ => None,
        })
    }

    /// Calls `f` for this node and for all below it, with their paths.
    pub fn visit(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Self)) {
        f(path, self);
        match &mut self.value {
            Value::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    item.visit(&format!("{path}[{i}]"), f);
                }
            }
            Value::Map(entries) => {
                for (key, node) in entries {
                    node.visit(&join(path, key), f);
                }
            }
            Value::Null | Value::Scalar(_) | Value::Broken => {}
        }
    }
}

/// `server` and `listen` -> `server.listen`. A key that is no plain word is put in quotes: messages
/// stay on one line whatever a file holds.
pub(super) fn join(path: &str, key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(word) { key.to_owned() } else { quote(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_keys_stay_on_one_line() {
        assert_eq!(join("server", "maxBody"), "server.maxBody");
        assert_eq!(join("", "a b\n"), "\"a b\\n\"");
        assert_eq!(join("x", ""), "x.\"\"");
    }
}
