//! `perch rollout history`.

use clap::Args;

use super::console::{Console, now};
use super::options::{Connection, Surroundings};
use super::render::text::clean;
use super::view::{Moved, Past};
use super::words::when;
use crate::cli::models::table::Table;
use crate::cli::{Outcome, Output};

#[derive(Args)]
pub(super) struct History {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// At most so many transitions, the newest.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl History {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        let client = self.connection.client(around)?;
        let model = client.model(self.model.as_deref()).await?;
        let answer = client.get(&[&model, "history"], &[("limit", self.limit.to_string())]).await;
        let answer = answer.map_err(|trouble| client.failure(trouble))?;
        if self.output == Output::Json {
            return console.json(&answer);
        }
        let past: Past = client.parse(answer).map_err(|trouble| client.failure(trouble))?;
        if past.history.is_empty() {
            console.tell(&format!("nothing happened to {} yet", clean(&model)));
        }
        console.print(&table(&past.history))
    }
}

fn table(history: &[Moved]) -> String {
    let now = now();
    let mut table = Table::new(&["WHEN", "WHO", "FROM", "TO", "WHAT"], &["WHAT"]);
    for moved in history {
        let cells = [
            when(&moved.at, &now),
            moved.who.clone(),
            moved.from.clone().unwrap_or_default(),
            moved.to.clone(),
            moved.what.clone().unwrap_or_default(),
        ];
        table.add(cells.iter().map(|cell| clean(cell)).collect());
    }
    table.render()
}
