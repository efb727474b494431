//! Reading a mapping key by key: each key is taken once, with its type and its default; what nobody
//! took is an unknown key. Errors are collected, and what was read is recorded for printing.

use super::{
    error::ConfigError,
    setting::Setting,
    suggest,
    tree::{Kind, Node, Source, Value, join},
    yaml,
};
use std::ops::{Bound, RangeBounds};

/// One mapping on its way to a struct.
#[derive(Default)]
pub(super) struct Fields {
    path: String,
    left: Vec<(String, Node)>,
    known: Vec<&'static str>,
    read: Vec<(String, Node)>,
    errors: Vec<ConfigError>,
}

impl Fields {
    /// Reads a whole tree: the value, what it was read from with every default, and the errors.
    pub fn root<T>(node: Node, read: impl FnOnce(&mut Self) -> T) -> (T, Node, Vec<ConfigError>) {
        let mut top = Self::default();
        let (value, node) = top.inner(String::new(), node, read);
        (value, node, top.errors)
    }

    /// A key with a default.
    pub fn take<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.take_checked(key, default, |_| None)
    }

    /// A key with a default, whose value must be in a range: `1..=10` or `1..`.
    pub fn take_in<T: Setting + PartialOrd>(&mut self, key: &'static str, default: T, range: impl RangeBounds<T>) -> T {
        self.take_checked(key, default, |value| outside(&range, value))
    }

    fn take_checked<T: Setting>(&mut self, key: &'static str, default: T, check: impl Fn(&T) -> Option<String>) -> T {
        let (value, source) = self.value(key, check);
        let value = value.unwrap_or(default);
        let shown = Node::new(Value::Scalar(value.show()), source);
        self.record(key, shown);
        value
    }

    /// A key whose default was found somewhere.
    pub fn take_from<T: Setting>(&mut self, key: &'static str, default: T, from: Source) -> T {
        let (value, source) = self.value(key, |_| None);
        let (value, source) = value.map_or((default, from), |value| (value, source));
        self.record(key, Node::new(Value::Scalar(value.show()), source));
        value
    }

    /// A key that may stay without a value.
    pub fn take_opt<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let (value, source) = self.value(key, |_| None);
        self.record_opt(key, value.as_ref(), source);
        value
    }

    /// A key that may stay without a value, and has a range where it has one.
    pub fn take_opt_in<T: Setting + PartialOrd>(&mut self, key: &'static str, range: impl RangeBounds<T>) -> Option<T> {
        let (value, source) = self.value(key, |value| outside(&range, value));
        self.record_opt(key, value.as_ref(), source);
        value
    }

    fn record_opt<T: Setting>(&mut self, key: &str, value: Option<&T>, source: Source) {
        let shown = value.map_or(Value::Null, |value| Value::Scalar(value.show()));
        self.record(key, Node::new(shown, source));
    }

    /// A key without a default. `expected` says what is missing and how to give it.
    pub fn require<T: Setting>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        // One that is written and wrong has its own error.
        let missing = self.written(key).is_none();
        let value = self.take_opt(key);
        if missing {
            self.missing(key, format!("expected {expected}"));
        }
        value
    }

    /// A mapping below this one.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let node = self.node(key).unwrap_or_else(Node::empty);
        let (value, node) = self.inner(join(&self.path, key), node, read);
        self.record(key, node);
        value
    }

    /// The items of a list, and where it was written. A variable gives one in flow style.
    pub fn items(&mut self, key: &'static str) -> (Vec<Node>, Source) {
        let Some(node) = self.node(key) else {
            return (Vec::new(), Source::Default);
        };
        let value = match node.value {
            Value::Scalar(scalar) if scalar.kind == Kind::Loose => {
                yaml::inline(&scalar.text, &node.source).unwrap_or(Value::Scalar(scalar))
            }
            value => value,
        };
        match value {
            Value::List(items) => return (items, node.source),
            Value::Broken => {}
            other => self.error(key, &node.source, format!("expected a list such as [a, b], got {}", other.shown())),
        }
        (Vec::new(), node.source)
    }

    /// A mapping at any path, read into a value and the record of it. Something else than a mapping
    /// is one error, and the rest is read as if nothing had been written.
    pub fn inner<T>(&mut self, path: String, node: Node, read: impl FnOnce(&mut Self) -> T) -> (T, Node) {
        let mut errors = Vec::new();
        let mut quiet = false;
        let left = match node.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            other => {
                quiet = true;
                if other != Value::Broken {
                    let message = format!("expected keys and values, got {}", other.shown());
                    errors.push(ConfigError::at(&path, &node.source, message));
                }
                Vec::new()
            }
        };
        let mut fields = Self { path, left, ..Self::default() };
        let value = read(&mut fields);
        for (key, node) in &fields.left {
            let message = suggest::unknown(key, &fields.known);
            let path = join(&fields.path, key);
            fields.errors.push(ConfigError::at(&path, &node.source, message));
        }
        self.errors.append(&mut errors);
        if !quiet {
            self.errors.append(&mut fields.errors);
        }
        (value, Node::new(Value::Map(fields.read), node.source))
    }

    /// Takes a key out as it stands; `None` where nothing was written.
    pub fn node(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.left.iter().position(|(k, _)| k == key)?;
        let (_, node) = self.left.remove(at);
        (node.value != Value::Null).then_some(node)
    }

    /// Where a key was written, before it is read.
    pub fn written(&self, key: &str) -> Option<Source> {
        let (_, node) = self.left.iter().find(|(k, node)| k == key && node.value != Value::Null)?;
        Some(node.source.clone())
    }

    /// The whole path of a key of this mapping.
    pub fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes what a key was read as, for printing.
    pub fn record(&mut self, key: &str, node: Node) {
        self.read.push((key.to_owned(), node));
    }

    /// Notes that a key is missing.
    pub fn missing(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(ConfigError::missing(&join(&self.path, key), message));
    }

    /// Notes an error at a key of this mapping.
    pub fn error(&mut self, key: &str, source: &Source, message: impl Into<String>) {
        self.error_at(&join(&self.path, key), source, message);
    }

    /// Notes an error at a whole path.
    pub fn error_at(&mut self, path: &str, source: &Source, message: impl Into<String>) {
        self.errors.push(ConfigError::at(path, source, message));
    }

    /// Notes an error that has its place already.
    pub fn push(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    fn value<T: Setting>(&mut self, key: &'static str, check: impl Fn(&T) -> Option<String>) -> (Option<T>, Source) {
        let Some(node) = self.node(key) else {
            return (None, Source::Default);
        };
        let read = match &node.value {
            Value::Scalar(scalar) => T::parse(scalar).and_then(|value| match check(&value) {
                Some(limit) => Err(format!("expected {limit}, got {}", scalar.shown())),
                None => Ok(value),
            }),
            Value::Broken => return (None, node.source),
            other => Err(format!("expected one value, got {}", other.shown())),
        };
        match read {
            Ok(value) => (Some(value), node.source),
            Err(message) => {
                self.error(key, &node.source, message);
                (None, node.source)
            }
        }
    }
}

/// The range in words, where the value is not in it: `at least 50ms`, `1 to 65536`.
fn outside<T: Setting + PartialOrd>(range: &impl RangeBounds<T>, value: &T) -> Option<String> {
    if range.contains(value) {
        return None;
    }
    let text = |bound: Bound<&T>| match bound {
        Bound::Included(limit) | Bound::Excluded(limit) => Some(limit.show().text),
        Bound::Unbounded => None,
    };
    Some(match (text(range.start_bound()), text(range.end_bound())) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, high) => format!("at most {}", high.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests;
