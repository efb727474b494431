//! The configuration: defaults < well-known variables < file < `PERCH__SECTION__KEY` < flags.
//!
//! [`Layers`] names the sources, [`Config::load`] puts them together. Nothing here reads the
//! process's environment or arguments by itself, apart from [`environment`]; nothing but
//! [`Layers::file`], the files of policies and the `{file: PATH}` of a secret touches the disk, apart from a look at where
//! the registry's folder really is. Every value remembers where it came from, and every error is
//! listed at once, with its key and that place.
//!
//! The way of a value: `yaml` and `env` make trees with sources (`tree`), `layers` merges them; `read` and
//! `models` take them apart key by key (`fields`) into the types of `schema`; `print` shows what
//! came out. Policies, whose types are the router's, are read by `policy`.

mod env;
mod error;
mod fields;
mod interpolate;
mod layers;
mod merge;
mod models;
mod policy;
mod print;
mod read;
mod schema;
mod secret;
mod selector;
mod setting;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod words;
mod yaml;

pub use error::{ConfigError, ConfigErrors};
pub use layers::Layers;
pub use schema::{
    Agreement, Artifacts, Batching, Config, Drain, Log, LogFormat, Mlflow, Model, ModelSource, Placement, Receiver,
    Registry, RegistrySource, Rollout, Rollouts, Runtime, Server, StateUrl, TagFilter, Telemetry, Threads, WriteBack,
};
pub use secret::Secret;
pub use tree::Source;

/// A configuration that was loaded, with the source of each value.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The same as a tree, every default included.
    tree: tree::Node,
}

impl Config {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// Everything that is wrong in any layer, at once. What is merely missing is left out where the
    /// file could not be read: it may well be in there.
    pub fn load(layers: Layers) -> Result<Loaded, ConfigErrors> {
        let merged = layers.merge();
        let mut errors = merged.errors;
        let (config, tree, found) = read::config(merged.tree, &merged.models, &merged.env, merged.stateless);
        errors.extend(found.into_iter().filter(|error| !merged.file_lost || error.place.is_some()));
        if errors.is_empty() { Ok(Loaded { config, tree }) } else { Err(ConfigErrors(errors)) }
    }
}

impl Loaded {
    /// The whole configuration as YAML, with `# source` behind each value. It loads to the same
    /// configuration again, apart from passwords in URLs and secrets written out, which are hidden.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        print::yaml(&self.tree)
    }

    /// The whole configuration as JSON, with `{"value": …, "source": "…"}` for each value.
    /// Passwords in URLs and secrets written out are hidden.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        print::json(&self.tree)
    }

    /// Where a value came from, by its key, such as `server.listen`.
    #[must_use]
    pub fn source_of(&self, key: &str) -> Option<&Source> {
        self.tree.find(key).map(|node| &node.source)
    }
}

/// The process's environment. A value that is not UTF-8 comes with replacement characters: refusing
/// it would stop the server for a variable that may be none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        (text(name), text(value))
    })
}
