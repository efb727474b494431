//! `perch models verify`.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use perch_models::artifact::Artifact;
use perch_models::backend::Loader;
use perch_models::registry::Whereabouts;
use perch_models::run::{Execution, Observer, Turns};
use perch_models::version::{Context, Mode, ModelVersion, Settings};
use perch_models::watchdog::Watchdog;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::catalog::{Catalog, Entry};
use super::choose::unserved;
use super::place::Place;
use super::progress::Screen;
use super::table::{Table, short};
use super::{log, print_json};
use crate::cli::{Failure, Outcome, Output, StartLoader, loader};
use crate::config::{Model, Placement, Runtime};

#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
    /// Only this model; may be repeated.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Every version that is listed, wherever it is.
    #[arg(long)]
    all: bool,
    /// Where models compute: auto, cpu, cuda, cuda:N, openvino [runtime.device].
    #[arg(long)]
    device: Option<String>,
    /// How exactly: fp32, tf32, bf16, fp16 [runtime.precision].
    #[arg(long)]
    precision: Option<String>,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// A version that can be served.
struct Ready {
    digest: String,
    mode: &'static str,
    /// Time of a run of one row.
    cost: Duration,
}

struct Row {
    model: String,
    /// None where a model has no version to verify.
    version: Option<u64>,
    track: Option<&'static str>,
    aliases: Vec<String>,
    result: Result<Ready, String>,
}

struct Silent;

impl Observer for Silent {
    fn executed(&self, _execution: &Execution) {}
}

/// What versions are loaded with.
struct Tools {
    loader: Arc<dyn Loader>,
    watchdog: Watchdog,
    runtime: Runtime,
}

impl Verify {
    pub(super) async fn run(&self, start_loader: StartLoader) -> Outcome {
        let config = self.place.load_for(&self.model, self.device.as_deref(), self.precision.as_deref())?;
        let screen = Screen::new();
        log::start(&config, &screen.bars)?;
        let catalog = Catalog::read(&config, None).await?;
        let loader = loader::start(start_loader, &config)?;
        let watchdog = Watchdog::start().map_err(|error| Failure::Failed(error.to_string()))?;
        let tools = Tools { loader, watchdog, runtime: config.runtime.clone() };
        let mut rows = Vec::new();
        for entry in catalog.entries.iter().filter(|entry| entry.listing.error.is_none()) {
            let tracks = entry.tracks();
            let (versions, problem) = self.choose(entry);
            let name = &entry.model.name;
            if let Some(problem) = problem {
                let (model, result) = (name.clone(), Err(problem));
                rows.push(Row { model, version: None, track: Some("stable"), aliases: Vec::new(), result });
            }
            for version in versions {
                let shown = screen.show(name, version);
                let result = match entry.fetch(version, shown.clone()).await {
                    Ok(artifact) => {
                        shown.wait("loading");
                        tools.load(artifact, &entry.model)
                    }
                    Err(error) => Err(error.to_string()),
                };
                let (track, aliases) = (tracks.name(version), entry.aliases_of(version));
                rows.push(Row { model: name.clone(), version: Some(version), track, aliases, result });
            }
        }
        match self.output {
            Output::Json => print_json(&rows.iter().map(Row::to_json).collect()),
            Output::Text => print!("{}", table(&rows)),
        }
        catalog.explain_nothing(&config);
        catalog.outcome()?;
        let failed = rows.iter().filter(|row| row.result.is_err()).count();
        if failed == 0 {
            Ok(())
        } else {
            Err(Failure::Failed(format!("{failed} of {} versions cannot be served", rows.len())))
        }
    }

    /// The versions to verify, and what keeps the model from having any. All where that costs no download.
    fn choose(&self, entry: &Entry) -> (Vec<u64>, Option<String>) {
        let all: Vec<u64> = entry.listing.versions.keys().copied().collect();
        let in_place = |version: &u64| entry.whereabouts(*version) == Whereabouts::InPlace;
        if !all.is_empty() && (self.all || all.iter().all(in_place)) {
            return (all, None);
        }
        (entry.tracks().versions(), unserved(&entry.model, &entry.listing))
    }
}

impl Tools {
    /// Loads and warms up one copy. It blocks: nothing else has to go on meanwhile.
    fn load(&self, artifact: Artifact, model: &Model) -> Result<Ready, String> {
        let Placement { device, precision, memory_limit, agreement } = model.placement(&self.runtime);
        let device = self.loader.resolve(device).map_err(|error| error.to_string())?;
        let settings = Settings {
            device,
            precision,
            memory_limit,
            agreement,
            buckets: model.batching.buckets.clone().unwrap_or_else(|| device.buckets().to_vec()),
            threads: 1,
            instances: 1,
            max_rows: model.batching.max_rows,
            max_queue: model.batching.max_queue,
            max_delay: model.batching.max_delay,
            load_timeout: model.load_timeout,
        };
        let (observer, tasks) = (Arc::new(Silent), TaskTracker::new());
        let (loader, watchdog, turns) = (self.loader.as_ref(), &self.watchdog, Turns::new(1, &tasks));
        let context = Context { loader, watchdog, observer, turns, tasks };
        let version = ModelVersion::load(artifact, &settings, &context).map_err(|error| error.to_string())?;
        let mode = if version.mode() == Mode::Inline { "inline" } else { "worker" };
        Ok(Ready { digest: version.digest().to_owned(), mode, cost: version.cost().estimate(1) })
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let version = self.version.map(|version| version.to_string());
        let mut value = json!({"model": self.model, "version": version, "track": self.track, "aliases": self.aliases});
        match &self.result {
            Ok(ready) => {
                value["digest"] = json!(ready.digest);
                value["state"] = json!("ready");
                value["mode"] = json!(ready.mode);
                value["secondsPerRow"] = json!(ready.cost.as_secs_f64());
            }
            Err(error) => {
                value["state"] = json!("failed");
                value["error"] = json!(error);
            }
        }
        value
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["MODEL", "VERSION", "TRACK", "ALIASES", "DIGEST", "STATE"], &[]);
    for row in rows {
        let (digest, state) = match &row.result {
            Ok(ready) => (short(&ready.digest), format!("ready, {}, {:.3?} a row", ready.mode, ready.cost)),
            Err(error) => (String::new(), format!("error: {error}")),
        };
        table.add(vec![
            row.model.clone(),
            row.version.map_or_else(String::new, |version| version.to_string()),
            row.track.unwrap_or_default().to_owned(),
            row.aliases.join(","),
            digest,
            state,
        ]);
    }
    table.render()
}
