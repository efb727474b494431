//! `perch rollout list`.

use clap::Args;
use serde::Deserialize;

use super::console::Console;
use super::options::{Connection, Surroundings};
use super::render::numbers::percent;
use super::render::text::clean;
use super::view::{Version, View};
use super::words;
use crate::cli::models::table::Table;
use crate::cli::{Outcome, Output};

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Deserialize)]
struct Views {
    rollouts: Vec<View>,
}

impl List {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        let client = self.connection.client(around)?;
        let answer = client.get(&[], &[]).await.map_err(|trouble| client.failure(trouble))?;
        if self.output == Output::Json {
            return console.json(&answer);
        }
        let views: Views = client.parse(answer).map_err(|trouble| client.failure(trouble))?;
        if views.rollouts.is_empty() {
            console.tell(&format!("{} has no models", client.address()));
        }
        console.print(&table(&views.rollouts))
    }
}

fn table(views: &[View]) -> String {
    let mut table = Table::new(&["MODEL", "STATE", "STABLE", "CANARY", "WEIGHT", "STEP", "NOTE"], &["NOTE"]);
    for view in views {
        let version = |version: &Option<Version>| version.as_ref().map_or_else(String::new, |it| it.version.clone());
        let trying = view.state.is_trying();
        let cells = [
            view.model.clone(),
            view.state.word().to_owned(),
            version(&view.stable),
            version(&view.canary),
            if trying { percent(view.weight) } else { String::new() },
            view.step.zip(view.steps).map_or_else(String::new, |(step, steps)| format!("{step}/{steps}")),
            note(view),
        ];
        table.add(cells.iter().map(|cell| clean(cell)).collect());
    }
    table.render()
}

/// The reason, or what is waited for.
fn note(view: &View) -> String {
    if let Some(store) = view.store.as_ref().filter(|store| store.state != "ready") {
        return format!("the store is {}", store.state);
    }
    if view.paused_by.is_some() {
        return words::paused(view);
    }
    match (&view.reason, &view.waiting_for) {
        (Some(reason), _) => reason.clone(),
        (None, Some(what)) => format!("waiting for {what}"),
        (None, None) => String::new(),
    }
}
