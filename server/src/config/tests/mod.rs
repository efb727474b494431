//! The configuration as its users meet it: whole files, whole messages, whole printouts.

mod any_policy;
mod choice;
mod errors;
mod placement;
mod policies;
mod precedence;
mod printed;
mod registry;
mod secrets;
mod state;

use super::{Config, Layers, Loaded, RegistrySource};
use std::path::PathBuf;

/// An environment from pairs, and of a user who has a place for state.
fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let state = [("XDG_STATE_HOME", "/state")];
    state.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The layers of a file named perch.yaml and an environment.
fn layers(file: &str, variables: &[(&str, &str)]) -> Layers {
    Layers::new().file_text("perch.yaml", file).env(env(variables))
}

fn load(layers: Layers) -> Loaded {
    Config::load(layers).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The lines of what is wrong.
fn wrong(layers: Layers) -> Vec<String> {
    match Config::load(layers) {
        Ok(loaded) => panic!("loaded:\n{}", loaded.to_yaml()),
        Err(errors) => errors.to_string().lines().map(ToOwned::to_owned).collect(),
    }
}

#[test]
fn the_defaults() {
    let Config { server, runtime, registry, artifacts, models, state, rollouts, log, telemetry } =
        load(layers("registry: {path: models}", &[])).config;
    assert_eq!(server, super::Server::default());
    assert_eq!(runtime, super::Runtime::default());
    assert_eq!(registry.source, RegistrySource::Directory { path: PathBuf::from("models") });
    assert_eq!(registry.poll.as_millis(), 500);
    assert_eq!(registry.write_back, super::WriteBack { aliases: true, tags: true });
    assert_eq!(artifacts.max_size, 20 << 30);
    assert_eq!(artifacts.cache, PathBuf::new());
    assert_eq!(models, []);
    assert_eq!((registry.rollout.name.as_str(), registry.rollout.receivers.as_slice()), ("phased", [].as_slice()));
    assert_eq!(registry.rollout.policy, perch_router::policy::RolloutPolicy::phased());
    let super::StateUrl::Sqlite(state) = state else { panic!("{state:?}") };
    assert_eq!(state.parent(), Some(std::path::Path::new("/state/perch")));
    assert_eq!(rollouts, super::Rollouts { audit_log: None });
    assert_eq!(log, super::Log::default());
    assert_eq!(telemetry, super::Telemetry::default());
}

#[test]
fn one_flag_is_enough() {
    let flags = Layers::new().env(env(&[])).flag("registry.path", Some("m".to_owned()), "--models");
    assert_eq!(load(flags).config.registry.source, RegistrySource::Directory { path: PathBuf::from("m") });
}

#[test]
fn the_process_environment_is_readable() {
    assert!(super::environment().any(|(name, _)| name == "PATH"));
}
