//! The merged result for people and for scripts: every value, defaults too, and where it came from.

use super::{
    error::redact,
    interpolate::escape,
    tree::{Kind, Node, Scalar, Source, Value},
    yaml,
};
use serde_json::json;
use std::fmt::Write;

/// The column of the comments, in characters; a longer line pushes its own further.
const COMMENTS: usize = 40;

/// YAML that loads to the same configuration, with `# source` behind each value. Passwords in URLs
/// are hidden.
pub(super) fn yaml(root: &Node) -> String {
    let mut out = String::new();
    if let Value::Map(entries) = &root.value {
        mapping(&mut out, entries, "", "");
    }
    out
}

/// `first` is what stands before the first key, `indent` before the others: they differ in a list.
fn mapping(out: &mut String, entries: &[(String, Node)], first: &str, indent: &str) {
    for (i, (key, node)) in entries.iter().enumerate() {
        let start = if i == 0 { first } else { indent };
        match &node.value {
            Value::Map(inner) if !inner.is_empty() => {
                let _ = writeln!(out, "{start}{key}:");
                let deeper = format!("{indent}  ");
                mapping(out, inner, &deeper, &deeper);
            }
            Value::List(items) if !items.is_empty() => {
                let _ = writeln!(out, "{start}{key}:");
                let (dash, deeper) = (format!("{indent}  - "), format!("{indent}    "));
                for item in items {
                    match &item.value {
                        Value::Map(inner) => mapping(out, inner, &dash, &deeper),
                        value => line(out, &format!("{dash}{}", leaf(value)), &item.source),
                    }
                }
            }
            value => line(out, &format!("{start}{key}: {}", leaf(value)), &node.source),
        }
    }
}

fn line(out: &mut String, text: &str, source: &Source) {
    // A file's name may hold anything; a comment ends with its line.
    let source: String = source.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let _ = writeln!(out, "{text:<COMMENTS$} # {source}");
}

fn leaf(value: &Value) -> String {
    match value {
        Value::Scalar(scalar) if scalar.kind == Kind::Text => text(&scalar.text),
        Value::Scalar(scalar) => scalar.text.clone(),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
        Value::Null | Value::Broken => "null".to_owned(),
    }
}

/// A text bare where the file's reader takes it for the same text, else in quotes.
fn text(text: &str) -> String {
    let text = escape(&redact(text));
    let simple = |c: char| c.is_ascii_alphanumeric() || "_./:=-".contains(c);
    if text.chars().all(simple) {
        // Whatever YAML makes of words such as `null` or `1e3`: ask it.
        let read = yaml::inline(&text, &Source::Default);
        if read == Some(Value::Scalar(Scalar::text(&text))) && !text.ends_with(':') {
            return text;
        }
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The same as a tree of `{"value": …, "source": "…"}`.
pub(super) fn json(node: &Node) -> serde_json::Value {
    let source = node.source.to_string();
    match &node.value {
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
        Value::List(items) if !items.is_empty() => items.iter().map(json).collect(),
        Value::List(_) => json!({"value": [], "source": source}),
        Value::Null | Value::Broken => json!({"value": null, "source": source}),
        Value::Scalar(scalar) => {
            let text = redact(&scalar.text);
            let value = match scalar.kind {
                // Both are written by `show`, so they are JSON as they stand.
                Kind::Number | Kind::Bool => serde_json::from_str(&text).unwrap_or(json!(text)),
                Kind::Text | Kind::Loose => json!(text),
            };
            json!({"value": value, "source": source})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Env;
    use proptest::prelude::*;

    fn reread(text: &str) -> Option<Value> {
        let mut errors = Vec::new();
        let root = yaml::file("t", &format!("k: {text}"), &Env::default(), &mut errors)?;
        assert_eq!(errors, []);
        root.find("k").map(|node| node.value.clone())
    }

    #[test]
    fn text_is_quoted_where_it_must_be() {
        for (given, printed) in [
            ("info", "info"),
            ("[::]:8000", "\"[::]:8000\""),
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            (":8000", ":8000"),
            ("null", "\"null\""),
            ("", "\"\""),
            ("8", "\"8\""),
            ("1e3", "\"1e3\""),
            ("true", "\"true\""),
            ("a:", "\"a:\""),
            ("${X}", "\"$${X}\""),
            ("a\"b\\c\n", "\"a\\\"b\\\\c\\U0000000A\""),
            ("http://u:p@h", "\"http://***@h\""),
        ] {
            assert_eq!(text(given), printed);
        }
    }

    proptest! {
        #[test]
        fn printed_text_is_read_as_itself(given in any::<String>()) {
            prop_assume!(!given.contains("://"));
            prop_assert_eq!(reread(&text(&given)), Some(Value::Scalar(Scalar::text(given))));
        }

        #[test]
        fn printed_words_are_read_as_themselves(given in "[-a-z0-9_./:= ]{0,8}") {
            prop_assume!(!given.contains("://"));
            prop_assert_eq!(reread(&text(&given)), Some(Value::Scalar(Scalar::text(given))));
        }
    }
}
