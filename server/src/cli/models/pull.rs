//! `perch models pull`.

use clap::Args;
use indicatif::BinaryBytes;
use perch_models::artifact::Artifact;
use perch_models::registry::Whereabouts;
use serde_json::{Value, json};

use super::catalog::{Catalog, Entry};
use super::choose::unserved;
use super::place::Place;
use super::progress::Screen;
use super::table::{Table, short};
use super::{log, print_json};
use crate::cli::{Failure, Outcome, Output};

#[derive(Args)]
pub(super) struct Pull {
    #[command(flatten)]
    place: Place,
    /// Only this model; may be repeated.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// This version, in place of those that stable and canary select; of one model.
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// What is to be pulled.
#[derive(Default)]
struct Chosen<'c> {
    versions: Vec<(&'c Entry, u64)>,
    /// Why models have nothing to pull.
    problems: Vec<String>,
}

/// One version, and its files if they are here.
struct Row {
    model: String,
    version: u64,
    files: Result<Artifact, String>,
}

impl Pull {
    pub(super) async fn run(&self) -> Outcome {
        let config = self.place.load(&self.model)?;
        let screen = Screen::new();
        log::start(&config, &screen.bars)?;
        let catalog = Catalog::read(&config, self.version).await?;
        let Chosen { versions, problems } = self.choose(&catalog.entries)?;
        let in_place = |(entry, version): &(&Entry, u64)| entry.whereabouts(*version) == Whereabouts::InPlace;
        if !versions.is_empty() && versions.iter().all(in_place) {
            eprintln!("perch: nothing has to be pulled: a folder of models is served from where it is");
        }
        // All of them stay in use until the last one is here: none must make room for another.
        let mut rows = Vec::new();
        for (entry, version) in versions {
            let shown = screen.show(&entry.model.name, version);
            let files = entry.fetch(version, shown).await.map_err(|error| error.to_string());
            rows.push(Row { model: entry.model.name.clone(), version, files });
        }
        match self.output {
            Output::Json => print_json(&rows.iter().map(Row::to_json).collect()),
            Output::Text => print!("{}", table(&rows)),
        }
        catalog.explain_nothing(&config);
        catalog.outcome()?;
        let failed = rows.iter().filter(|row| row.files.is_err()).count();
        match (failed, problems.is_empty()) {
            (0, true) => Ok(()),
            (0, false) => Err(Failure::Failed(problems.join("\n"))),
            _ => Err(Failure::Failed(format!("{failed} of {} versions could not be pulled", rows.len()))),
        }
    }

    /// The versions to pull, and what keeps models from having any. Broken entries are told of elsewhere.
    fn choose<'c>(&self, entries: &'c [Entry]) -> Result<Chosen<'c>, Failure> {
        let mut chosen = Chosen::default();
        match (self.version, entries) {
            (None, entries) => {
                for entry in entries.iter().filter(|entry| entry.listing.error.is_none()) {
                    chosen.versions.extend(entry.tracks().versions().into_iter().map(|version| (entry, version)));
                    let problem = unserved(&entry.model, &entry.listing);
                    chosen.problems.extend(problem.map(|problem| format!("{}: {problem}", entry.model.name)));
                }
            }
            (Some(_), [entry]) if entry.listing.error.is_some() => {}
            (Some(version), [entry]) => chosen.versions.push((entry, entry.require(version)?)),
            _ => return Err(Failure::Usage("--version is of one model: name it by --model".to_owned())),
        }
        Ok(chosen)
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let mut value = json!({"model": self.model, "version": self.version.to_string()});
        match &self.files {
            Ok(artifact) => {
                value["path"] = json!(artifact.dir);
                value["digest"] = json!(artifact.digest);
                value["bytes"] = json!(artifact.bytes);
            }
            Err(error) => value["error"] = json!(error),
        }
        value
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["MODEL", "VERSION", "SIZE", "DIGEST", "PATH"], &[]);
    for row in rows {
        let (size, digest, path) = match &row.files {
            Ok(artifact) => {
                let size = BinaryBytes(artifact.bytes).to_string();
                (size, short(&artifact.digest), artifact.dir.display().to_string())
            }
            Err(error) => (String::new(), String::new(), format!("error: {error}")),
        };
        table.add(vec![row.model.clone(), row.version.to_string(), size, digest, path]);
    }
    table.render()
}
