//! Which registry a command works on, and which models of it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;
use crate::config::{Config, Layers, ModelSource, RegistrySource, Source, environment};

use super::log;

/// Where the models are. Each flag stands for a key of the configuration file.
#[derive(Args, Debug, Default)]
pub(super) struct Place {
    /// The configuration file (YAML).
    #[arg(long, env = "PERCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of models [registry.path].
    #[arg(long, value_name = "DIR")]
    models: Option<String>,
    /// An MLflow server [registry.uri].
    #[arg(long, value_name = "URL")]
    mlflow: Option<String>,
    /// The folder for the files of fetched models [artifacts.cache].
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
}

/// The one model that a command is about.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Named {
    /// The model.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The same as NAME.
    #[arg(long = "model", value_name = "NAME")]
    model: Option<String>,
}

impl Named {
    pub(super) fn get(&self) -> &str {
        // One of the two is there: the group says so.
        self.name.as_deref().or(self.model.as_deref()).unwrap_or_default()
    }
}

impl Place {
    /// The configuration; with `names`, of these models alone, whether it lists them or not.
    pub(super) fn load(&self, names: &[String]) -> Result<Config, Failure> {
        self.load_for(names, None, None)
    }

    /// The same, for models that compute on `device` in `precision`.
    pub(super) fn load_for(
        &self,
        names: &[String],
        device: Option<&str>,
        precision: Option<&str>,
    ) -> Result<Config, Failure> {
        let mut layers = Layers::new().env(environment()).stateless();
        if let Some(file) = &self.config {
            layers = layers.file(file);
        }
        let layers = layers
            .flag("registry.path", self.models.clone(), "--models")
            .flag("registry.uri", self.mlflow.clone(), "--mlflow")
            .flag("artifacts.cache", self.cache.clone(), "--cache")
            .flag("runtime.device", device.map(str::to_owned), "--device")
            .flag("runtime.precision", precision.map(str::to_owned), "--precision");
        let loaded = Config::load(layers);
        let loaded = loaded.map_err(|errors| Failure::Usage(format!("the configuration is wrong:\n{errors}")))?;
        let quiet = loaded.source_of("log.filter").is_none_or(|source| *source == Source::Default);
        let mut config = loaded.config;
        if quiet {
            log::QUIET.clone_into(&mut config.log.filter);
        }
        if !names.is_empty() {
            only(&mut config, names);
        }
        Ok(config)
    }

    /// The flags of a later command on the same registry, with a space before each.
    pub(super) fn flags(&self, config: &Config) -> String {
        let file = self.config.as_ref().map(|file| ("--config", file.display().to_string()));
        let registry = match &config.registry.source {
            RegistrySource::Directory { .. } => self.models.clone().map(|path| ("--models", path)),
            // Without the password that the flag may have had.
            RegistrySource::Mlflow(mlflow) => self.mlflow.as_ref().map(|_| ("--mlflow", mlflow.uri.clone())),
        };
        let given = file.into_iter().chain(registry);
        given.map(|(flag, value)| format!(" {flag} {}", quoted(&value))).collect()
    }
}

/// Chooses models by their names on the wire. One that is not listed has the settings of those that are not, so that
/// the registry is asked for it by its name.
fn only(config: &mut Config, names: &[String]) {
    let listed = std::mem::take(&mut config.models);
    for name in names {
        if config.models.iter().any(|model| model.name == *name) {
            continue;
        }
        let own = listed.iter().find(|model| model.name == *name).cloned();
        config.models.push(own.unwrap_or_else(|| config.registry.model(name)));
    }
    config.registry.select = None;
}

/// A word of a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether a model is a folder of its own, apart from the registry.
pub(super) const fn is_own_folder(source: &ModelSource) -> bool {
    matches!(source, ModelSource::Folder(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        assert_eq!(quoted("http://mlflow:5000/a"), "http://mlflow:5000/a");
        assert_eq!(quoted("my models"), "'my models'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn models_that_are_named_are_all_that_is_asked_for() {
        let text = "registry: {uri: 'http://mlflow', select: {tag: team=rates}}\n\
                    models: [{name: curve, source: rates_curve}, {name: other}]";
        let config = Config::load(
            Layers::new().file_text("perch.yaml", text.to_owned()).env([("HOME".to_owned(), "/home/me".to_owned())]),
        );
        let mut config = config.expect("right").config;
        only(&mut config, &["curve".to_owned(), "unlisted".to_owned(), "curve".to_owned()]);
        let named = |name: &str| ModelSource::Named(name.to_owned());
        let models: Vec<_> = config.models.iter().map(|model| (model.name.as_str(), model.source.clone())).collect();
        assert_eq!(models, [("curve", named("rates_curve")), ("unlisted", named("unlisted"))]);
        assert_eq!(config.registry.select, None);
    }
}
