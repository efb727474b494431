//! Rollout policies: a preset's name, a file of their own, or written in place; read into the router's types, with the
//! place of everything that is wrong, and the addresses of those who are told.

use super::{
    env::Env,
    error::ConfigError,
    fields::Fields,
    layers,
    schema::Rollout,
    setting::text,
    tree::{Node, Scalar, Source, Value},
    yaml,
};
use perch_router::policy::{RolloutPolicy, Span};
use std::{
    collections::BTreeMap,
    path::{Path as File, PathBuf},
    sync::Arc,
    time::Duration,
};

mod node;
mod path;
mod places;
mod read;
mod receivers;
mod shown;

use path::Path;

const KEY: &str = "rollout";
const EXPECTED: &str = "a preset (phased, four-steps) or a policy file";

/// Something that is wrong in a policy: where, where that is written, and what.
struct Finding {
    at: Path,
    source: Source,
    message: String,
}

/// A policy that was read, and the record of it for printing.
#[derive(Clone)]
pub(super) struct Read {
    pub rollout: Arc<Rollout>,
    node: Node,
}

impl Default for Read {
    fn default() -> Self {
        let rollout = Rollout::default();
        let node = shown::node(&rollout.policy, None, &Source::Default);
        Self { rollout: Arc::new(rollout), node }
    }
}

/// Reads the key `rollout` wherever it stands. A file that several models name is read once.
pub(super) struct Policies<'e> {
    env: &'e Env,
    /// When a request ends, whatever happens.
    timeout: Duration,
    /// What was wrong with a file is said once.
    files: BTreeMap<PathBuf, Option<Read>>,
}

impl<'e> Policies<'e> {
    pub fn new(env: &'e Env, timeout: Duration) -> Self {
        Self { env, timeout, files: BTreeMap::new() }
    }

    /// Reads the key, which is `default` where it is not written or wrong.
    pub fn take(&mut self, f: &mut Fields, default: &Read) -> Read {
        let read = f.node(KEY).and_then(|node| match &node.value {
            Value::Scalar(scalar) => self.named(f, scalar, &node.source),
            Value::Map(_) => self.inline(f, &node),
            Value::Broken | Value::Null => None,
            other @ Value::List(_) => {
                f.error(KEY, &node.source, format!("expected {EXPECTED}, got {}", other.shown()));
                None
            }
        });
        let read = read.unwrap_or_else(|| default.clone());
        f.record(KEY, read.node.clone());
        read
    }

    fn named(&mut self, f: &mut Fields, scalar: &Scalar, source: &Source) -> Option<Read> {
        let name = text(scalar, EXPECTED).map_err(|message| f.error(KEY, source, message)).ok()?;
        if let Some(policy) = RolloutPolicy::preset(name) {
            let node = shown::node(&policy, None, source);
            let rollout = Rollout { policy, name: name.to_owned(), receivers: Vec::new() };
            return Some(Read { rollout: Arc::new(rollout), node });
        }
        let path = places::folder(source).join(name);
        if !path.exists() {
            f.error(KEY, source, scalar.expected(EXPECTED));
            return None;
        }
        if let Some(read) = self.files.get(&path) {
            return read.clone();
        }
        let mut errors = Vec::new();
        let read = self.file(&path, &mut errors);
        errors.into_iter().for_each(|error| f.push(error));
        self.files.insert(path, read.clone());
        read
    }

    fn file(&self, path: &File, errors: &mut Vec<ConfigError>) -> Option<Read> {
        let name = path.display().to_string();
        let text = layers::read(path).map_err(|message| errors.push(ConfigError::at("", &name, message))).ok()?;
        let tree = yaml::policy(&name, &text, self.env, errors)?;
        let folder = path.parent().unwrap_or(File::new(""));
        let (read, findings) = self.whole(&tree, folder, name.clone());
        for Finding { at, source, message } in findings {
            // Of what nobody wrote, nor anything around it, the place is the file.
            let source = if source == Source::Default { at_the_top(&name) } else { source };
            errors.push(ConfigError::in_policy(&at.to_string(), &source, &message));
        }
        errors.sort_by_key(|error| error.place.as_deref().map(places::line_and_column));
        read.filter(|_| errors.is_empty())
    }

    fn inline(&self, f: &mut Fields, node: &Node) -> Option<Read> {
        let (read, findings) = self.whole(node, &places::folder(&node.source), "inline".to_owned());
        let here = f.path(KEY);
        let good = findings.is_empty();
        for Finding { at, source, message } in findings {
            f.error_at(&at.below(&here), &source, message);
        }
        read.filter(|_| good)
    }

    /// Reads a tree. What is nowhere written has the tree's source.
    fn whole(&self, tree: &Node, folder: &File, name: String) -> (Option<Read>, Vec<Finding>) {
        let read::Outcome { policy, tree: kept, mut findings } = read::policy(tree);
        let Some(mut policy) = policy else { return (None, findings) };
        findings.extend(self.late(&policy, tree));
        places::resolve(&mut policy, folder);
        let receivers = receivers::resolve(&mut policy, &kept, self.env, &mut findings);
        let node = shown::node(&policy, Some(tree), &Source::Default);
        let rollout = Rollout { policy, name, receivers };
        (Some(Read { rollout: Arc::new(rollout), node }), findings)
    }

    /// A fallback that would come when the request has ended.
    fn late(&self, policy: &RolloutPolicy, tree: &Node) -> Option<Finding> {
        let after = policy.routing.fallback.after.filter(|after| after.0 >= self.timeout)?;
        let at = Path::parse("routing.fallback.after");
        let message = format!("expected less than server.requestTimeout ({}), got {after}", Span(self.timeout));
        Some(Finding { source: at.source(tree), at, message })
    }
}

fn at_the_top(name: &str) -> Source {
    Source::File { name: name.into(), line: 1, column: 1 }
}
