//! Laying one layer over another.

use super::{
    error::ConfigError,
    secret, selector,
    tree::{Node, Value, join},
};

/// Lays a stronger layer over a weaker one. Mappings are joined key by key, all else is replaced:
/// half of one list and half of another would be what nobody wrote. So would `{alias: a}` below and
/// `{version: 1}` above it, which is why selectors and secrets are replaced as a whole.
pub(super) fn merge(base: &mut Node, over: Node, path: &str, errors: &mut Vec<ConfigError>) {
    let whole = secret::is(path) || selector::is(path);
    if whole && over.source.layer() > base.source.layer() {
        *base = over;
        return;
    }
    match (&mut base.value, over.value) {
        (Value::Map(below), Value::Map(above)) => {
            for (key, node) in above {
                match below.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, weaker)) => merge(weaker, node, &join(path, &key), errors),
                    None => below.push((key, node)),
                }
            }
        }
        // `log:` with nothing below it is a heading, not an order to forget what others set.
        (Value::Map(_), Value::Null) => {}
        // One of the two is wrong, and replacing would hide it.
        (Value::Scalar(_) | Value::List(_), Value::Map(_)) => {
            let here = if secret::is(path) { secret::hidden("") } else { base.value.shown() };
            let message = format!("{here} here, but {} sets keys below it", over.source);
            errors.push(ConfigError::at(path, &base.source, message));
            base.value = Value::Broken;
        }
        (_, value) => *base = Node::new(value, over.source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Scalar, Source};

    fn map(source: &Source, entries: &[(&str, Value)]) -> Node {
        let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), Node::new(v.clone(), source.clone()))).collect();
        Node::new(Value::Map(entries), source.clone())
    }

    fn text(text: &str) -> Value {
        Value::Scalar(Scalar::text(text))
    }

    #[test]
    fn stronger_wins_key_by_key() {
        let (weak, strong) = (Source::Env("A".into()), Source::Flag("--b".into()));
        let mut base = map(&weak, &[("x", text("1")), ("y", text("2"))]);
        let over = map(&strong, &[("y", text("3")), ("z", text("4"))]);
        let mut errors = Vec::new();
        merge(&mut base, over, "", &mut errors);
        assert_eq!(errors, []);
        let shown: Vec<_> = ["x", "y", "z"]
            .map(|k| base.find(k).map(|n| format!("{} {}", n.value.shown(), n.source)))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(shown, ["\"1\" A", "\"3\" --b", "\"4\" --b"]);
        assert!(base.find("x.y").is_none());
    }

    #[test]
    fn a_value_is_not_silently_made_a_section() {
        let file = Source::File { name: "perch.yaml".into(), line: 3, column: 1 };
        let env = Source::Env("PERCH__SERVER__LISTEN".into());
        let mut base = map(&file, &[("server", text("five"))]);
        let inner = map(&env, &[("listen", text(":1"))]);
        let over = map(&env, &[("server", inner.value)]);
        let mut errors = Vec::new();
        merge(&mut base, over, "", &mut errors);
        assert_eq!(
            errors[0].to_string(),
            "server (perch.yaml:3): \"five\" here, but PERCH__SERVER__LISTEN sets keys below it"
        );
        assert_eq!(base.find("server").map(|n| &n.value), Some(&Value::Broken));
    }

    #[test]
    fn an_empty_heading_forgets_nothing() {
        let mut base = map(&Source::Default, &[("log", map(&Source::Default, &[]).value)]);
        let before = base.clone();
        merge(&mut base, map(&Source::Default, &[("log", Value::Null)]), "", &mut Vec::new());
        assert_eq!(base, before);
    }
}
