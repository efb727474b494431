//! `perch rollout get`.

use clap::Args;
use reqwest::StatusCode;

use super::client::Trouble;
use super::console::{Console, now};
use super::options::{Connection, Surroundings};
use super::render::{Link, Scene, render};
use super::view::Past;
use crate::cli::{Outcome, Output};

/// As many transitions as a frame may show.
pub(super) const HISTORY: usize = 5;

#[derive(Args)]
pub(super) struct Get {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Get {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        let client = self.connection.client(around)?;
        let model = client.model(self.model.as_deref()).await?;
        let answer = client.get(&[&model], &[]).await.map_err(|trouble| client.failure(trouble))?;
        if self.output == Output::Json {
            return console.json(&answer);
        }
        let view = client.view(answer)?;
        let past = client.get(&[&model, "history"], &[("limit", HISTORY.to_string())]).await;
        let past = match past.and_then(|past| client.parse::<Past>(past)) {
            Ok(past) => past,
            // The store is away: all else is worth a look all the same, and says so.
            Err(Trouble::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => Past::default(),
            Err(trouble) => return Err(client.failure(trouble)),
        };
        // A result scrolls: it may be as long as it is.
        let (width, _) = console.size();
        let scene = Scene {
            view: &view,
            history: &past.history,
            link: &Link::Once,
            now: now(),
            width,
            height: None,
            glyphs: &console.glyphs,
        };
        let lines = render(&scene);
        console.lines(&lines)
    }
}
