//! `registry`: which type it is, and the keys of that type.

use super::SHORTEST;
use crate::config::{
    Secret,
    env::Env,
    fields::Fields,
    policy::{Policies, Read},
    schema::{Mlflow, Registry, RegistrySource, TagFilter, WriteBack},
    secret, selector,
    tree::Source,
    words::{MlflowUri, RegistryKind as Kind, Switch},
};
use perch_models::registry::Selector;
use std::time::Duration;

/// A registry is not to be read without a pause.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
/// What only one type has.
const DIRECTORY_KEYS: [&str; 1] = ["path"];
const MLFLOW_KEYS: [&str; 8] = ["uri", "timeout", "username", "password", "token", "caCert", "insecureTls", "select"];
const FOLDER: &str = "the folder of models (flag --models)";
const SERVER: &str = "an MLflow server such as http://mlflow:5000 (flag --mlflow, MLFLOW_TRACKING_URI)";

/// Reads `registry`: with its type where that is known, and its policy. `listed`: whether any models are.
pub(super) fn registry(
    f: &mut Fields,
    env: &Env,
    listed: bool,
    policies: &mut Policies<'_>,
) -> (Registry, Option<Kind>, Read) {
    let kind = kind(f);
    let (source, select) = match &kind {
        Some((Kind::Directory, by)) => {
            refuse(f, &MLFLOW_KEYS, Kind::Mlflow, (Kind::Directory, by));
            (RegistrySource::Directory { path: f.require("path", FOLDER).unwrap_or_default() }, None)
        }
        Some((Kind::Mlflow, by)) => {
            refuse(f, &DIRECTORY_KEYS, Kind::Directory, (Kind::Mlflow, by));
            let uri = f.require("uri", SERVER);
            (RegistrySource::Mlflow(mlflow(f, uri, env)), select(f, listed))
        }
        // Its error is noted; the keys are checked all the same.
        None => {
            let path = f.take_opt("path").unwrap_or_default();
            let uri = f.take_opt("uri");
            mlflow(f, uri, env);
            (RegistrySource::Directory { path }, select(f, listed))
        }
    };
    let kind = kind.map(|(kind, _)| kind);
    let stages = kind != Some(Kind::Directory);
    let poll = if stages { Duration::from_secs(10) } else { Duration::from_millis(500) };
    let write_back = WriteBack::default();
    let alias = |name: &str| Selector::Alias(name.to_owned());
    let mut rollout = Read::default();
    let registry = Registry {
        source,
        poll: f.take_in("poll", poll, SHORTEST_POLL..),
        write_back: f.section("writeBack", |f| WriteBack {
            aliases: f.take("aliases", write_back.aliases),
            tags: f.take("tags", write_back.tags),
        }),
        select,
        stable: selector::take(f, "stable", alias("stable"), stages),
        canary: selector::take(f, "canary", alias("canary"), stages),
        rollout: {
            rollout = policies.take(f, &rollout);
            rollout.rollout.clone()
        },
    };
    (registry, kind, rollout)
}

/// The type, and what chose it; `None` where an error says why there is none.
fn kind(f: &mut Fields) -> Option<(Kind, Source)> {
    let (path, uri) = (f.written("path"), f.written("uri"));
    if let Some(source) = f.written("type") {
        return Some((f.take_opt("type")?, source));
    }
    let (kind, source) = match (path, uri) {
        (Some(path), None) => (Kind::Directory, path),
        (None, Some(uri)) => (Kind::Mlflow, uri),
        // A tracking server named in the shell is no reason not to serve a folder.
        (Some(path), Some(uri)) if path.layer() > uri.layer() => (Kind::Directory, path),
        (Some(path), Some(uri)) if path.layer() < uri.layer() => (Kind::Mlflow, uri),
        (Some(path), Some(uri)) => {
            f.node("type");
            let both = format!("as there are both {} ({path}) and {} ({uri})", f.path("path"), f.path("uri"));
            f.missing("type", format!("expected mlflow or directory, {both}"));
            return None;
        }
        (None, None) => {
            f.node("type");
            f.missing("path", format!("expected {FOLDER}, or as {} {SERVER}", f.path("uri")));
            return None;
        }
    };
    let kind = f.take_from("type", kind, source.clone());
    Some((kind, source))
}

/// Notes the keys of the other type as errors, unless what chose this one is stronger: it was there
/// to overrule them.
fn refuse(f: &mut Fields, keys: &[&'static str], other: Kind, (kind, by): (Kind, &Source)) {
    for key in keys {
        if let Some(node) = f.node(key)
            && node.source.layer() >= by.layer()
        {
            let message = format!("is only for type {other}, and {by} says {kind}");
            f.error(key, &node.source, message);
        }
    }
}

fn mlflow(f: &mut Fields, uri: Option<MlflowUri>, env: &Env) -> Mlflow {
    let MlflowUri { uri, user } = uri.unwrap_or_default();
    let mut mlflow = Mlflow {
        uri,
        timeout: f.take_in("timeout", Duration::from_secs(10), SHORTEST..),
        username: f.take_opt("username"),
        password: secret::take(f, "password", env),
        token: secret::take(f, "token", env),
        ca_cert: f.take_opt("caCert"),
        insecure_tls: f.take("insecureTls", Switch(false)).0,
    };
    // Half of one and half of the other would be nobody's.
    if let Some((name, password)) = user.filter(|_| mlflow.username.is_none() && mlflow.password.is_none()) {
        mlflow.username = Some(name);
        mlflow.password = Some(Secret::new(password));
    }
    mlflow
}

fn select(f: &mut Fields, listed: bool) -> Option<TagFilter> {
    f.section("select", |f| if listed { f.take_opt("tag") } else { Some(f.take("tag", TagFilter::serve())) })
}
