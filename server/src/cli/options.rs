//! The options that every command with a configuration takes.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Config, Layers, Loaded, environment};

/// Where the configuration comes from. Each flag stands for a key of the file.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// The configuration file (YAML).
    #[arg(long, env = "PERCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of models [registry.path].
    #[arg(long, value_name = "DIR")]
    models: Option<String>,
    /// An MLflow server [registry.uri].
    #[arg(long, value_name = "URL")]
    mlflow: Option<String>,
    /// A folder for the files of fetched models [artifacts.cache].
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
    /// Serve only this model; may be repeated [models].
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// How canaries come to all traffic: a policy file, or phased or four-steps [registry.rollout].
    #[arg(long, value_name = "FILE|PRESET")]
    rollout: Option<String>,
    /// Where rollouts are remembered: `sqlite:///FILE` [state].
    #[arg(long, value_name = "URL")]
    state: Option<String>,
    /// Listen here [server.listen].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Serve /metrics and /health here too [server.metricsListen].
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_listen: Option<String>,
    /// Serve /admin only here [server.adminListen].
    #[arg(long, value_name = "ADDR:PORT")]
    admin_listen: Option<String>,
    /// Where models compute: auto, cpu, cuda, cuda:N, openvino [runtime.device].
    #[arg(long)]
    device: Option<String>,
    /// How exactly: fp32, tf32, bf16, fp16 [runtime.precision].
    #[arg(long)]
    precision: Option<String>,
    /// Threads of one run: auto or a number [runtime.threads].
    #[arg(long)]
    threads: Option<String>,
    /// Levels by target, as in `RUST_LOG` [log.filter].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// auto, text or json [log.format].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Options {
    /// The configuration of this process.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let mut layers = Layers::new().env(environment());
        if let Some(file) = &self.config {
            layers = layers.file(file);
        }
        let layers = layers
            .flag("registry.path", self.models.clone(), "--models")
            .flag("registry.uri", self.mlflow.clone(), "--mlflow")
            .flag("artifacts.cache", self.cache.clone(), "--cache")
            .flag("models", self.model.clone(), "--model")
            .flag("registry.rollout", self.rollout.clone(), "--rollout")
            .flag("state", self.state.clone(), "--state")
            .flag("server.listen", self.listen.clone(), "--listen")
            .flag("server.metricsListen", self.metrics_listen.clone(), "--metrics-listen")
            .flag("server.adminListen", self.admin_listen.clone(), "--admin-listen")
            .flag("runtime.device", self.device.clone(), "--device")
            .flag("runtime.precision", self.precision.clone(), "--precision")
            .flag("runtime.threads", self.threads.clone(), "--threads")
            .flag("log.filter", self.log.clone(), "--log")
            .flag("log.format", self.log_format.clone(), "--log-format");
        Config::load(layers).map_err(|errors| Failure::Usage(format!("the configuration is wrong:\n{errors}")))
    }
}
