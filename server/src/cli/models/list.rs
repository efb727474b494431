//! `perch models list`.

use std::sync::Arc;

use clap::Args;
use perch_models::registry::{DIGEST_TAG, ERROR_TAG, STATE_TAG, Unseen, Whereabouts};
use serde_json::{Value, json};

use super::catalog::{Catalog, Entry};
use super::choose::Tracks;
use super::place::Place;
use super::table::{Table, short};
use super::{log, print_json};
use crate::cli::{Outcome, Output};

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
    /// Only this model; may be repeated.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// One version.
struct Row {
    model: String,
    version: u64,
    track: Option<&'static str>,
    aliases: Vec<String>,
    stage: Option<String>,
    /// None where nobody has noted it; an error where the files cannot be read.
    digest: Result<Option<String>, String>,
    state: Option<String>,
    /// Why it failed, where a server has noted that.
    state_error: Option<String>,
    cached: bool,
}

impl List {
    pub(super) async fn run(&self) -> Outcome {
        let config = self.place.load(&self.model)?;
        log::start(&config, &indicatif::MultiProgress::new())?;
        let catalog = Catalog::read(&config, None).await?;
        let mut rows = Vec::new();
        for entry in &catalog.entries {
            rows.extend(rows_of(entry).await);
        }
        match self.output {
            Output::Json => print_json(&rows.iter().map(Row::to_json).collect()),
            Output::Text => print!("{}", table(rows)),
        }
        catalog.explain_nothing(&config);
        catalog.outcome()
    }
}

async fn rows_of(entry: &Entry) -> Vec<Row> {
    let mut rows = Vec::new();
    for (version, listed) in &entry.listing.versions {
        let tag = |key: &str| listed.tags.get(key).filter(|value| !value.is_empty()).cloned();
        let place = entry.whereabouts(*version);
        let digest = if place == Whereabouts::InPlace {
            let opened = entry.fetch(*version, Arc::new(Unseen)).await;
            opened.map(|artifact| Some(artifact.digest)).map_err(|error| error.to_string())
        } else {
            Ok(tag(DIGEST_TAG))
        };
        rows.push(Row {
            model: entry.model.name.clone(),
            version: *version,
            track: None,
            aliases: entry.aliases_of(*version),
            stage: listed.stage.clone(),
            digest,
            state: tag(STATE_TAG),
            state_error: tag(ERROR_TAG),
            cached: place == Whereabouts::Cached,
        });
    }
    let broken: Vec<u64> = rows.iter().filter(|row| row.digest.is_err()).map(|row| row.version).collect();
    let tracks = Tracks::of(&entry.model, &entry.listing, &broken);
    for row in &mut rows {
        row.track = tracks.name(row.version);
    }
    rows
}

impl Row {
    fn to_json(&self) -> Value {
        let mut value = json!({
            "model": self.model,
            "version": self.version.to_string(),
            "track": self.track,
            "aliases": self.aliases,
            "stage": self.stage,
        });
        match &self.digest {
            Ok(digest) => value["digest"] = json!(digest),
            Err(error) => value["error"] = json!(error),
        }
        value["state"] = json!(self.state);
        if let Some(error) = &self.state_error {
            value["stateError"] = json!(error);
        }
        value["cached"] = json!(self.cached);
        value
    }

    /// What is known of it, in one cell.
    fn state(&self) -> String {
        if let Err(error) = &self.digest {
            return format!("error: {error}");
        }
        let mut parts = Vec::new();
        parts.extend(self.cached.then(|| "cached".to_owned()));
        match (&self.state, &self.state_error) {
            (Some(state), Some(error)) => parts.push(format!("{state}: {}", in_short(error))),
            (Some(state), None) => parts.push(state.clone()),
            (None, _) => {}
        }
        parts.join(", ")
    }
}

fn table(rows: Vec<Row>) -> String {
    let mut table =
        Table::new(&["MODEL", "VERSION", "TRACK", "ALIASES", "STAGE", "DIGEST", "STATE"], &["STAGE", "STATE"]);
    for row in rows {
        let state = row.state();
        table.add(vec![
            row.model,
            row.version.to_string(),
            row.track.unwrap_or_default().to_owned(),
            row.aliases.join(","),
            row.stage.unwrap_or_default(),
            row.digest.ok().flatten().map_or_else(String::new, |digest| short(&digest)),
            state,
        ]);
    }
    table.render()
}

/// As much of a reason as leaves the table a table; --output json has all of it.
fn in_short(error: &str) -> String {
    const CHARACTERS: usize = 60;
    if error.chars().count() <= CHARACTERS {
        return error.to_owned();
    }
    error.chars().take(CHARACTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_is_known() {
        let row =
            |digest: Result<Option<String>, String>, state: Option<&str>, error: Option<&str>, cached: bool| Row {
                model: "m".into(),
                version: 1,
                track: None,
                aliases: Vec::new(),
                stage: None,
                digest,
                state: state.map(str::to_owned),
                state_error: error.map(str::to_owned),
                cached,
            };
        assert_eq!(row(Ok(None), None, None, false).state(), "");
        assert_eq!(row(Ok(None), Some("ready"), None, true).state(), "cached, ready");
        assert_eq!(row(Ok(None), Some("failed"), Some("no graph"), false).state(), "failed: no graph");
        assert_eq!(row(Err("gone".into()), Some("ready"), None, false).state(), "error: gone");
        assert_eq!(in_short(&"x".repeat(1000)).chars().count(), 60);
        let json = row(Ok(None), Some("failed"), Some("no graph"), false).to_json();
        assert_eq!((&json["digest"], &json["stateError"]), (&Value::Null, &json!("no graph")));
        assert_eq!(row(Err("gone".into()), None, None, false).to_json()["error"], "gone");
    }
}
