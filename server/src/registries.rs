//! The registries of a configuration: the one that it names, and the folders that models have of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use perch_models::artifacts::cache::Cache;
use perch_models::artifacts::objects;
use perch_models::registry::mlflow::{Follow, Mlflow, Options};
use perch_models::registry::{Directory, Registry, Selector};

use crate::config::{self, Config, Model, ModelSource, RegistrySource};

/// One registry and what is asked of it.
#[derive(Clone)]
pub struct Feed {
    /// The registry.
    pub registry: Arc<dyn Registry>,
    /// The model that it is the folder of; `None` for the registry that the configuration names.
    pub folder_of: Option<String>,
    /// Whether tags are written to it.
    pub tagged: bool,
    /// Whether promotions move its aliases.
    pub moves_aliases: bool,
}

/// All registries: the configured one first.
pub struct Registries(Vec<Feed>);

impl Registries {
    /// The registries of a configuration. Nothing is read yet, apart from certificates.
    ///
    /// # Errors
    /// When a file of certificates cannot be read or an address is none.
    pub fn open(config: &Config) -> Result<Self, String> {
        let (tagged, moves_aliases) = (config.registry.write_back.tags, config.registry.write_back.aliases);
        let registry: Arc<dyn Registry> = match &config.registry.source {
            RegistrySource::Directory { path } => Arc::new(Directory::new(path)),
            RegistrySource::Mlflow(mlflow) => Arc::new(open_mlflow(config, mlflow)?),
        };
        let mut feeds = vec![Feed { registry, folder_of: None, tagged, moves_aliases }];
        for model in &config.models {
            if let ModelSource::Folder(path) = &model.source {
                let registry = Arc::new(Directory::of_model(&model.name, path));
                feeds.push(Feed { registry, folder_of: Some(model.name.clone()), tagged, moves_aliases });
            }
        }
        Ok(Self(feeds))
    }

    /// Writes nothing to registries that take nothing: a folder that is read-only is served all the same.
    pub fn spare_read_only(&mut self) {
        for feed in self.0.iter_mut().filter(|feed| feed.tagged || feed.moves_aliases) {
            if let Err(error) = feed.registry.check_writable() {
                tracing::warn!(%error, "no tags are written, and promotions move no alias");
                (feed.tagged, feed.moves_aliases) = (false, false);
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn feeds(&self) -> &[Feed] {
        &self.0
    }

    /// The registry of a model, by its number, and the model's name there.
    #[must_use]
    pub fn of<'m>(&self, model: &'m Model) -> (usize, &'m str) {
        match &model.source {
            ModelSource::Named(name) => (0, name),
            ModelSource::Folder(_) => {
                let own = self.0.iter().position(|feed| feed.folder_of.as_ref() == Some(&model.name));
                (own.unwrap_or(0), &model.name)
            }
        }
    }

    /// The registry of this number.
    #[must_use]
    pub fn get(&self, feed: usize) -> &Feed {
        &self.0[feed]
    }
}

fn open_mlflow(config: &Config, mlflow: &config::Mlflow) -> Result<Mlflow, String> {
    let secret = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let options = Options {
        uri: mlflow.uri.clone(),
        timeout: mlflow.timeout,
        basic: mlflow.username.clone().zip(secret(&mlflow.password)),
        token: secret(&mlflow.token),
        ca_cert: certificates("registry.caCert", mlflow.ca_cert.as_deref())?,
        insecure_tls: mlflow.insecure_tls,
    };
    let objects = objects::Options {
        s3_endpoint: config.artifacts.s3_endpoint.clone(),
        ca_cert: certificates("artifacts.caCert", config.artifacts.ca_cert.as_deref())?,
    };
    let cache = Cache::new(&config.artifacts.cache, config.artifacts.max_size);
    Mlflow::new(options, follow(config), cache, objects).map_err(|error| format!("registry.uri: {error}"))
}

fn follow(config: &Config) -> Follow {
    let named = |model: &Model| match &model.source {
        ModelSource::Named(name) => {
            let selectors = [&model.stable, &model.canary].into_iter();
            let version =
                |selector: &Selector| if let Selector::Version(version) = selector { Some(*version) } else { None };
            Some((name.clone(), selectors.filter_map(version).collect::<BTreeSet<u64>>()))
        }
        ModelSource::Folder(_) => None,
    };
    let models: BTreeMap<_, _> = config.models.iter().filter_map(named).collect();
    let tag = config.registry.select.as_ref().map(|filter| (filter.key.clone(), filter.value.clone()));
    Follow { models, tag }
}

fn certificates(key: &str, path: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{key}: {}: {error}", path.display()));
    path.map(read).transpose()
}
