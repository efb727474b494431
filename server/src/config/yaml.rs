//! The file: YAML text to a tree with the line of every key, and `${NAME}` filled in.
//!
//! Positions come from the parser (`Spanned` around each key and each list item), so they hold for
//! flow style, anchors and merge keys too: there it is the line where the text stands.

use super::{
    env::Env,
    error::{ConfigError, quote},
    interpolate::expand,
    secret,
    tree::{Kind, Node, Scalar, Source, Value},
};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, MessageFormatter, NonFiniteFloatPolicy, Spanned, UserMessageFormatter};
use std::{fmt, sync::Arc};

/// Events that aliases may add to a file: enough for any configuration, and an end to one that
/// doubles itself at each line.
const MAX_ALIAS_EVENTS: usize = 10_000;
/// Levels of nesting: ours has five, and each one costs stack.
const MAX_DEPTH: usize = 32;

/// The tree of the configuration's file. `None`, with the error noted, where it is not YAML or not a mapping.
pub(super) fn file(name: &str, text: &str, env: &Env, errors: &mut Vec<ConfigError>) -> Option<Node> {
    let mut root = plain(name, text, "sections such as `server:`", errors)?;
    root.visit("", &mut |path, node| {
        let source = node.source.clone();
        fill_in(path, node, env, |message| errors.push(ConfigError::at(path, &source, message)));
    });
    Some(root)
}

/// The same of a policy's file.
pub(super) fn policy(name: &str, text: &str, env: &Env, errors: &mut Vec<ConfigError>) -> Option<Node> {
    let mut root = plain(name, text, "keys such as `strategy:`", errors)?;
    root.visit("", &mut |path, node| {
        let source = node.source.clone();
        fill_in(path, node, env, |message| errors.push(ConfigError::in_policy(path, &source, &message)));
    });
    Some(root)
}

/// The tree of a file as it is written.
fn plain(name: &str, text: &str, expected: &str, errors: &mut Vec<ConfigError>) -> Option<Node> {
    let value = match parse(text) {
        Ok(value) => value,
        Err(error) => {
            errors.push(syntax_error(name, text, &error));
            return None;
        }
    };
    if !matches!(value, Value::Map(_) | Value::Null) {
        let message = format!("expected {expected}, got {}", value.shown());
        errors.push(ConfigError::at("", name, message));
        return None;
    }
    let name: Arc<str> = name.into();
    let mut root = Node::new(value, Source::Default);
    root.visit("", &mut |_, node| {
        if let Source::File { name: unnamed, .. } = &mut node.source {
            *unnamed = Arc::clone(&name);
        }
    });
    Some(root)
}

/// A YAML value written in one line elsewhere, such as `[a, b]` in a variable: all of it has that
/// source. `None` where it is not YAML.
pub(super) fn inline(text: &str, source: &Source) -> Option<Value> {
    let mut node = Node::new(parse(text).ok()?, source.clone());
    node.visit("", &mut |_, node| node.source = source.clone());
    Some(node.value)
}

fn parse(text: &str) -> Result<Value, Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIAS_EVENTS },
        // YAML 1.1 would read `no` as false, in a model's name too.
        strict_booleans: true,
        reject_unsupported_tags: true,
        // Left to the key's own message, which names the key.
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let value: Option<Value> = serde_saphyr::from_str_with_options(text, options)?;
    Ok(value.unwrap_or(Value::Null))
}

/// `perch.yaml:3:5: …`
fn syntax_error(name: &str, text: &str, error: &Error) -> ConfigError {
    let at = error.location().filter(|at| at.line() > 0);
    let place = at.map_or_else(|| name.to_owned(), |at| format!("{name}:{}:{}", at.line(), at.column()));
    let message = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {} is written twice in one mapping", quote(key))
        }
        Error::MultipleDocuments { .. } => "expected one YAML document, got several".to_owned(),
        Error::ExternalMessage { .. } => {
            let line = at.and_then(|at| text.lines().nth(usize::try_from(at.line() - 1).ok()?));
            let message = UserMessageFormatter.format_message(error);
            format!("{}{}", message.replace('\n', " "), hint(line.unwrap_or("")))
        }
        other => UserMessageFormatter.format_message(other).replace('\n', " "),
    };
    ConfigError::at("", place, message)
}

/// Two ways of writing that look right and are not YAML.
fn hint(line: &str) -> &'static str {
    if line.contains("${") {
        " (within { } or [ ], put \"${NAME}\" in quotes)"
    } else if line.contains(": [:") {
        " (put an address such as \"[::]:8000\" in quotes)"
    } else {
        ""
    }
}

/// Replaces `${NAME}` in a text. What comes out has no type of its own: `maxRows: ${ROWS}` is a
/// number where the key wants one.
fn fill_in(path: &str, node: &mut Node, env: &Env, note: impl FnMut(String)) {
    let Value::Scalar(scalar) = &mut node.value else {
        return;
    };
    if scalar.kind != Kind::Text || !scalar.text.contains("${") {
        return;
    }
    let shown = if secret::is(path) { secret::hidden } else { quote };
    match expand(&scalar.text, shown, |name| env.get(name)) {
        Ok(expanded) => {
            scalar.text = expanded.text;
            if expanded.replaced {
                scalar.kind = Kind::Loose;
            }
        }
        Err(messages) => {
            messages.into_iter().for_each(note);
            node.value = Value::Broken;
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// The visitor that takes whatever comes.
struct AnyValue;

impl AnyValue {
    #[expect(clippy::unnecessary_wraps, reason = "the shape that every visit_ method gives")]
    fn number<E>(number: impl fmt::Display) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::number(number)))
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::new(value.to_string(), Kind::Bool)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Self::number(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Self::number(value)
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Self::number(value)
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Self::number(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Self::number(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            items.push(Node::new(item.value, position(item.defined)));
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        // The key's line, not the value's: that of a section is where its name stands.
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push((key.value, Node::new(value, position(key.defined))));
        }
        Ok(Value::Map(entries))
    }
}

/// A position in a file whose name is put in later.
fn position(at: Location) -> Source {
    Source::File { name: "".into(), line: at.line(), column: at.column() }
}
