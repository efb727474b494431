//! From a tree to a policy. The router's types read themselves and stop at the first thing that is wrong; that is then
//! taken out of a copy of the tree, and they read again: so everything is found at once.

use super::{
    Finding,
    node::Reader,
    path::{Part, Path},
};
use crate::config::tree::{Node, Value};
use perch_router::policy::RolloutPolicy;
use serde::Deserialize;

/// More findings than this are a wrong file, not a file with mistakes.
const MOST: usize = 100;

/// A policy as far as it can be read.
pub(super) struct Outcome {
    /// `None` after too many findings.
    pub policy: Option<RolloutPolicy>,
    /// What it was read from: whatever is wrong is broken in it.
    pub tree: Node,
    pub findings: Vec<Finding>,
}

pub(super) fn policy(written: &Node) -> Outcome {
    let mut tree = written.clone();
    let mut findings = Vec::new();
    // What is as if it had not been written, though it was.
    let mut lost = Vec::new();
    broken(&tree, &Path::default(), &mut lost);
    let policy = loop {
        let wrong = match RolloutPolicy::deserialize(Reader::new(&tree)) {
            Ok(policy) => break Some(policy),
            Err(wrong) => wrong,
        };
        let cut = wrong.cut.unwrap_or_else(|| wrong.at.clone());
        // What misses only what was taken out of it is not wrong by itself.
        let follows = lost.iter().any(|lost: &Path| lost.starts_with(&wrong.at));
        if !follows && !wrong.quiet {
            findings.push(Finding { source: wrong.at.source(written), at: wrong.at, message: wrong.message });
        }
        match cut.value_in(&mut tree) {
            Some(value) if *value != Value::Broken && findings.len() < MOST => *value = Value::Broken,
            _ => break None,
        }
        if !wrong.harmless {
            lost.push(cut);
        }
    };
    for problem in policy.iter().flat_map(RolloutPolicy::problems) {
        let at = Path::parse(&problem.key);
        if !lost.iter().any(|lost| is_doubtful(&at, lost)) {
            findings.push(Finding { source: at.source(written), at, message: problem.message });
        }
    }
    Outcome { policy, tree, findings }
}

/// The paths of everything that is broken already: its variable is not set, which was said.
fn broken(node: &Node, path: &Path, found: &mut Vec<Path>) {
    match &node.value {
        Value::Broken => found.push(path.clone()),
        Value::List(items) => {
            items.iter().enumerate().for_each(|(index, item)| broken(item, &path.item(index), found));
        }
        Value::Map(entries) => entries.iter().for_each(|(key, node)| broken(node, &path.key(key), found)),
        Value::Null | Value::Scalar(_) => {}
    }
}

/// Whether what the check says of `problem` may only be so because `lost` could not be read.
fn is_doubtful(problem: &Path, lost: &Path) -> bool {
    let is = |path: &Path, start: &str| path.starts_with(&Path::parse(start));
    let near = Path(unit(lost).to_vec());
    problem.starts_with(&near)
        || near.starts_with(problem)
        || (is(lost, "analysis.metrics") || *lost == Path::parse("analysis"))
            && (is(problem, "strategy") || is(problem, "routing"))
        || is(lost, "analysis.judge")
            && ["window", "minRequests", "metrics"].iter().any(|key| is(problem, &format!("analysis.{key}")))
}

/// How far around a lost value others depend on it: its metric, its notification, else its section. A lost item moves
/// the numbers of those behind it.
fn unit(lost: &Path) -> &[Part] {
    match &lost.0[..] {
        [Part::Key(section), Part::Key(_), Part::At(_), _, ..] if section == "analysis" => &lost.0[..3],
        [Part::Key(section), Part::Key(_), ..] if section == "analysis" => &lost.0[..2],
        [Part::Key(_), Part::At(_), _, ..] => &lost.0[..2],
        parts => &parts[..parts.len().min(1)],
    }
}
