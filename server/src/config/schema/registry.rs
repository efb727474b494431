//! `registry` and `artifacts`: where models come from, and where their files go.

use super::{Model, ModelSource, Rollout};
use crate::config::Secret;
use perch_models::registry::Selector;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// `registry`: where models come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// `type`: mlflow | directory, and the keys of that type. When not given: `mlflow` where there is a
    /// `uri`, `directory` where there is a `path`; of both, the one from the stronger layer.
    pub source: RegistrySource,
    /// `poll`: how often it is looked at. Default 500 ms for a directory, 10 s for MLflow; at least
    /// 50 ms.
    pub poll: Duration,
    /// `writeBack`: what is written to it.
    pub write_back: WriteBack,
    /// `select.tag`: models that carry this tag are served beside those listed. MLflow only. Default
    /// `perch.serve=true` when no models are listed, none otherwise.
    pub select: Option<TagFilter>,
    /// `stable`: the version that serves, of models that do not name their own. Default
    /// `{alias: stable}`.
    pub stable: Selector,
    /// `canary`: the version on trial, of models that do not name their own. Default
    /// `{alias: canary}`.
    pub canary: Selector,
    /// `rollout` (flag `--rollout`): the policy of models that do not name their own. Default `phased`.
    pub rollout: Arc<Rollout>,
}

/// `registry.type`, and the keys of each.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistrySource {
    /// `directory`: a folder of models.
    Directory {
        /// `path`: the folder (flag `--models`). Required. Taken as written: relative to the working
        /// directory.
        path: PathBuf,
    },
    /// `mlflow`: an MLflow server.
    Mlflow(Mlflow),
}

/// The keys of `registry` that say how an MLflow server is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlflow {
    /// `uri`: http:// or https:// (`MLFLOW_TRACKING_URI`, flag `--mlflow`). Required. Without the
    /// `user:password@` that it may be given with: that goes to `username` and `password` unless
    /// either was set.
    pub uri: String,
    /// `timeout`: of one request. Default 10 s, at least 1 ms.
    pub timeout: Duration,
    /// `username` (`MLFLOW_TRACKING_USERNAME`): none by default.
    pub username: Option<String>,
    /// `password` (`MLFLOW_TRACKING_PASSWORD`): none by default. A username and a password are sent
    /// in place of a token, as MLflow has it; one without the other is not sent.
    pub password: Option<Secret>,
    /// `token` (`MLFLOW_TRACKING_TOKEN`): a bearer token; none by default.
    pub token: Option<Secret>,
    /// `caCert` (`MLFLOW_TRACKING_SERVER_CERT_PATH`): a PEM file with the authorities to trust; the
    /// system's by default.
    pub ca_cert: Option<PathBuf>,
    /// `insecureTls` (`MLFLOW_TRACKING_INSECURE_TLS`): whether any certificate is taken. Default
    /// false.
    pub insecure_tls: bool,
}

/// `registry.writeBack`: what is written to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBack {
    /// `aliases`: promotion moves aliases. Default true.
    pub aliases: bool,
    /// `tags`: demotion tags versions. Default true.
    pub tags: bool,
}

/// A tag that chooses models: `KEY=VALUE`, or `KEY` for any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// The tag's name: letters, digits, spaces and `_-./:`.
    pub key: String,
    /// What it must hold, without quotes and control characters; anything when `None`.
    pub value: Option<String>,
}

/// `artifacts`: where the files of models come from and go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifacts {
    /// `cache`: the folder for what was fetched (flag `--cache`). Default `$XDG_CACHE_HOME/perch`, else
    /// `$HOME/.cache/perch`. Empty where neither is set and the registry is a directory, which needs
    /// none.
    pub cache: PathBuf,
    /// `maxSize`: how much the cache may hold, in bytes. Default 20 GiB, at least 1 MiB.
    pub max_size: u64,
    /// `s3Endpoint` (`MLFLOW_S3_ENDPOINT_URL`): the URL of an S3 other than Amazon's; none by default.
    pub s3_endpoint: Option<String>,
    /// `caCert` (`AWS_CA_BUNDLE`): a PEM file with the authorities to trust for artifacts; the system's
    /// by default.
    pub ca_cert: Option<PathBuf>,
}

impl Registry {
    /// The settings of a model that is not listed.
    #[must_use]
    pub fn model(&self, name: impl Into<String>) -> Model {
        let name = name.into();
        self.model_from(name.clone(), ModelSource::Named(name))
    }

    /// A model with nothing but its name and source. A folder of its own has no stages.
    pub(in crate::config) fn model_from(&self, name: String, source: ModelSource) -> Model {
        let mut model = Model::named(name);
        let stages = matches!(source, ModelSource::Named(_));
        for (own, ours) in [(&mut model.stable, &self.stable), (&mut model.canary, &self.canary)] {
            if stages || !matches!(ours, Selector::Stage(_)) {
                own.clone_from(ours);
            }
        }
        Model { source, rollout: self.rollout.clone(), ..model }
    }
}

impl TagFilter {
    /// `perch.serve=true`: what is served when no models are listed.
    #[must_use]
    pub fn serve() -> Self {
        Self { key: "perch.serve".to_owned(), value: Some("true".to_owned()) }
    }
}

impl Default for WriteBack {
    fn default() -> Self {
        Self { aliases: true, tags: true }
    }
}
