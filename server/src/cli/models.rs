//! `perch models`: what the registry holds, whether it loads, and its aliases.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use perch_models::artifact::Artifact;
use perch_models::registry::{Directory, Listing, set_alias};
use perch_models::run::{Execution, Observer};
use perch_models::version::{Context, Mode, ModelVersion, Settings};
use perch_models::watchdog::Watchdog;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::options::Options;
use super::{Failure, Outcome, Output, StartLoader};
use crate::config::Config;
use crate::config::Model;

/// Look at the registry and change its aliases.
#[derive(Args)]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List models, versions, aliases and digests.
    List {
        #[command(flatten)]
        options: Options,
        /// The form of the result.
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Load and warm up every version, and say what is wrong with those that fail.
    Verify {
        #[command(flatten)]
        options: Options,
        /// The form of the result.
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Print the digest of a version's folder.
    Digest {
        /// The folder that holds model.onnx.
        dir: PathBuf,
    },
    /// Change an alias; the file is replaced atomically.
    #[command(subcommand)]
    Alias(AliasAction),
}

#[derive(Subcommand)]
enum AliasAction {
    /// Point an alias to a version.
    Set {
        #[command(flatten)]
        options: Options,
        /// The model.
        name: String,
        /// The alias, such as stable or canary.
        alias: String,
        /// The version.
        version: u64,
    },
    /// Remove an alias.
    Delete {
        #[command(flatten)]
        options: Options,
        /// The model.
        name: String,
        /// The alias.
        alias: String,
    },
}

pub(super) fn run(command: &ModelsCommand, start_loader: StartLoader) -> Outcome {
    match &command.action {
        Action::List { options, output } => list(&options.load()?.config, *output),
        Action::Verify { options, output } => verify(&options.load()?.config, *output, start_loader),
        Action::Digest { dir } => {
            let artifact = Artifact::open(dir).map_err(|error| Failure::Failed(error.to_string()))?;
            println!("{}", artifact.digest);
            Ok(())
        }
        Action::Alias(AliasAction::Set { options, name, alias, version }) => {
            let config = options.load()?.config;
            let listing = read(&config)?;
            let model = listing.get(name).ok_or_else(|| unknown(name, &listing))?;
            if !model.versions.contains_key(version) {
                let known: Vec<String> = model.versions.keys().map(u64::to_string).collect();
                return Err(Failure::Failed(format!(
                    "{name} has no version {version}, expected one of {}",
                    known.join(", ")
                )));
            }
            change(&config, name, alias, Some(*version))
        }
        Action::Alias(AliasAction::Delete { options, name, alias }) => {
            let config = options.load()?.config;
            let listing = read(&config)?;
            listing.get(name).ok_or_else(|| unknown(name, &listing))?;
            change(&config, name, alias, None)
        }
    }
}

fn unknown(name: &str, listing: &Listing) -> Failure {
    let known: Vec<&str> = listing.keys().map(String::as_str).collect();
    Failure::Failed(format!("no model {name}, expected one of {}", known.join(", ")))
}

fn change(config: &Config, name: &str, alias: &str, version: Option<u64>) -> Outcome {
    let dir = config.registry.path.join(name);
    set_alias(&dir, alias, version).map_err(|error| Failure::Failed(error.to_string()))
}

fn read(config: &Config) -> Result<Listing, Failure> {
    let mut listing =
        Directory::new(&config.registry.path).read().map_err(|error| Failure::Missing(error.to_string()))?;
    if !config.models.is_empty() {
        listing.retain(|name, _| config.models.iter().any(|model| model.name == *name));
    }
    Ok(listing)
}

/// One version as a row: model, version, aliases, and what was found.
struct Row {
    model: String,
    version: u64,
    aliases: Vec<String>,
    found: Result<String, String>,
}

fn rows(listing: &Listing, find: impl Fn(&str, &Path) -> Result<String, String>) -> Vec<Row> {
    let versions = listing.iter().flat_map(|(name, model)| {
        let aliases = model.aliases.clone().unwrap_or_default();
        model.versions.iter().map(move |(version, listed)| {
            let named = aliases.iter().filter(|(_, to)| *to == version).map(|(alias, _)| alias.clone()).collect();
            (name.clone(), *version, named, listed.dir.clone())
        })
    });
    versions.map(|(model, version, aliases, dir)| Row { found: find(&model, &dir), model, version, aliases }).collect()
}

fn print(rows: &[Row], output: Output, key: &str) {
    if output == Output::Json {
        let value = |row: &Row| {
            let mut value = json!({"model": row.model, "version": row.version.to_string(), "aliases": row.aliases});
            match &row.found {
                Ok(found) => value[key] = json!(found),
                Err(error) => value["error"] = json!(error),
            }
            value
        };
        println!("{:#}", Value::Array(rows.iter().map(value).collect()));
        return;
    }
    let width = rows.iter().map(|row| row.model.len()).max().unwrap_or(0).max(5);
    let aliases: Vec<String> = rows.iter().map(|row| row.aliases.join(",")).collect();
    let wide = aliases.iter().map(String::len).max().unwrap_or(0).max(7);
    println!("{:width$}  VERSION  {:wide$}  {}", "MODEL", "ALIASES", key.to_uppercase());
    for (row, aliases) in rows.iter().zip(aliases) {
        let found = match &row.found {
            Ok(found) => found.clone(),
            Err(error) => format!("error: {error}"),
        };
        println!("{:width$}  {:<7}  {aliases:wide$}  {found}", row.model, row.version);
    }
}

fn list(config: &Config, output: Output) -> Outcome {
    let listing = read(config)?;
    let digest =
        |_: &str, dir: &Path| Artifact::open(dir).map(|artifact| artifact.digest).map_err(|error| error.to_string());
    print(&rows(&listing, digest), output, "digest");
    broken_entries(&listing)
}

fn broken_entries(listing: &Listing) -> Outcome {
    let broken: Vec<String> =
        listing.iter().filter_map(|(name, model)| Some(format!("{name}: {}", model.error.as_ref()?))).collect();
    if broken.is_empty() { Ok(()) } else { Err(Failure::Failed(broken.join("\n"))) }
}

struct Silent;

impl Observer for Silent {
    fn executed(&self, _execution: &Execution) {}
}

fn verify(config: &Config, output: Output, start_loader: StartLoader) -> Outcome {
    let listing = read(config)?;
    let loader = start_loader(config.runtime.library.as_deref()).map_err(Failure::Missing)?;
    let watchdog = Watchdog::start().map_err(|error| Failure::Failed(error.to_string()))?;
    let load = |name: &str, dir: &Path| {
        let model = config.models.iter().find(|model| model.name == name).cloned();
        let model = model.unwrap_or_else(|| Model::named(name));
        let settings = Settings {
            device: model.device.unwrap_or(config.runtime.device),
            threads: 1,
            instances: 1,
            reactors: 1,
            max_rows: model.batching.max_rows,
            max_queue: model.batching.max_queue,
            load_timeout: model.load_timeout,
        };
        let context = Context {
            loader: loader.as_ref(),
            watchdog: &watchdog,
            observer: Arc::new(Silent),
            tasks: TaskTracker::new(),
        };
        let loaded = Artifact::open(dir).and_then(|artifact| ModelVersion::load(&artifact, &settings, &context));
        loaded.map_err(|error| error.to_string()).map(|version| {
            let mode = if version.mode() == Mode::Inline { "inline" } else { "worker" };
            format!("ready, {mode}, {:?} a row", version.cost().estimate(1))
        })
    };
    let rows = rows(&listing, load);
    print(&rows, output, "state");
    broken_entries(&listing)?;
    let failed = rows.iter().filter(|row| row.found.is_err()).count();
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{failed} of {} versions cannot be served", rows.len())))
    }
}
