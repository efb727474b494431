//! Reading key by key: every error, ranges in words, lists from variables.

use super::*;
use crate::config::tree::Scalar;
use std::time::Duration;

fn tree(text: &str) -> Node {
    let source = Source::Flag("--test".into());
    Node::new(yaml::inline(text, &source).unwrap_or(Value::Broken), source)
}

fn read<T>(text: &str, read: impl FnOnce(&mut Fields) -> T) -> (T, Vec<String>) {
    let (value, _, errors) = Fields::root(tree(text), read);
    (value, errors.iter().map(ToString::to_string).collect())
}

#[test]
fn every_error_and_the_defaults() {
    let (value, errors) = read("{a: x, b: [1], c: 70000, dd: 1, s: 5, l: {}}", |f| {
        (
            f.take("a", 1_usize),
            f.take("b", true),
            f.take_in("c", 3_usize, 1..=65_536),
            f.take("d", Duration::from_secs(1)),
            f.section("s", |s| s.require::<String>("deep", "a thing")),
            f.items("l").0.len(),
            f.require::<String>("r", "a name (flag --name)"),
        )
    });
    assert_eq!(value, (1, true, 3, Duration::from_secs(1), None, 0, None));
    assert_eq!(
        errors,
        [
            "a (--test): expected a whole number, got \"x\"",
            "b (--test): expected one value, got a list",
            "c (--test): expected 1 to 65536, got 70000",
            "s (--test): expected keys and values, got 5",
            "l (--test): expected a list such as [a, b], got a mapping",
            "r: expected a name (flag --name)",
            "dd (--test): unknown key, did you mean d?",
        ]
    );
}

#[test]
fn ranges_in_words() {
    let ((), errors) = read("{poll: 10ms, n: 0, m: 9}", |f| {
        f.take_in("poll", Duration::from_secs(1), Duration::from_millis(50)..);
        f.take_opt_in("n", 1_u64..);
        f.take_opt_in("m", ..=8_u64);
    });
    assert_eq!(
        errors,
        [
            "poll (--test): expected at least 50ms, got \"10ms\"",
            "n (--test): expected at least 1, got 0",
            "m (--test): expected at most 8, got 9",
        ]
    );
}

#[test]
fn nothing_written_is_the_default() {
    let (value, errors) = read("{a: ~, s: ~, l: ~}", |f| {
        (f.take("a", 7_usize), f.section("s", |s| s.take_opt::<u64>("x")), f.items("l").0.len())
    });
    assert_eq!((value, errors), ((7, None, 0), Vec::new()));
}

#[test]
fn a_variable_gives_a_list_in_flow_style() {
    let source = Source::Env("V".into());
    let scalar = |text: &str| Value::Scalar(Scalar::loose(text));
    for (text, count, errors) in [("[a, {b: 1}]", 2, 0), ("a", 0, 1), ("[a", 0, 1)] {
        let entries = vec![("l".to_owned(), Node::new(scalar(text), source.clone()))];
        let node = Node::new(Value::Map(entries), source.clone());
        let (items, _, found) = Fields::root(node, |f| f.items("l").0);
        assert_eq!((items.len(), found.len()), (count, errors), "{text}");
        assert!(items.iter().all(|item| item.source == source));
    }
}
