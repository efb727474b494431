//! A model's events, for as long as somebody watches: what is cut off is connected again.

use std::time::Duration;

use http::StatusCode;
use reqwest::Response;
use tokio::sync::mpsc;

use super::sse::{Parser, Said};
use crate::cli::Failure;
use crate::cli::rollout::client::{Client, Trouble, cause};
use crate::cli::rollout::get::HISTORY;
use crate::cli::rollout::view::{Moved, Past, View};

/// A server that says nothing for so long is not there; its comments come every few seconds.
const SILENCE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What happened is an extra, which events do not wait for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a watcher is told.
pub(super) enum Event {
    /// What is so now, and as it came.
    View(Box<View>, String),
    /// What happened last, newest first.
    History(Vec<Moved>),
    /// The server is there.
    Heard,
    /// It is not, and is asked again after that time.
    Lost(String, Duration),
    /// It is being asked again.
    Trying,
}

/// Events of one model.
pub(super) struct Feed<'a> {
    pub(super) client: &'a Client,
    pub(super) model: &'a str,
    /// Whether somebody wants to know what happened.
    pub(super) with_history: bool,
    pub(super) events: mpsc::Sender<Event>,
}

/// Why a stream ended.
enum Cut {
    /// It is worth another try.
    Off(String),
    /// It is not.
    Failed(Failure),
}

impl Feed<'_> {
    /// Tells of what comes, until there is a failure that time does not mend.
    pub(super) async fn run(self) -> Failure {
        let mut ever = false;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.client.events(self.model).await {
                Ok(response) => {
                    let mut came = false;
                    let cut = self.read(response, &mut came).await;
                    if came {
                        (ever, wait) = (true, FIRST_WAIT);
                    }
                    match cut {
                        Cut::Failed(failure) => return failure,
                        Cut::Off(error) => error,
                    }
                }
                Err(trouble) if !ever || is_final(&trouble) => return self.client.failure(trouble),
                Err(Trouble::Refused { message, .. } | Trouble::Unreachable(message) | Trouble::Strange(message)) => {
                    message
                }
            };
            self.tell(Event::Lost(error, wait)).await;
            // Not all watchers at once, after a restart.
            tokio::time::sleep(wait.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            self.tell(Event::Trying).await;
        }
    }

    async fn read(&self, mut response: Response, came: &mut bool) -> Cut {
        let mut parser = Parser::default();
        let mut known = None;
        loop {
            let chunk = match tokio::time::timeout(SILENCE, response.chunk()).await {
                Err(_) => return Cut::Off(format!("nothing came for {} s", SILENCE.as_secs())),
                Ok(Err(error)) => return Cut::Off(cause(&error)),
                Ok(Ok(None)) => return Cut::Off("the server ended the stream".to_owned()),
                Ok(Ok(Some(chunk))) => chunk,
            };
            let said = match parser.take(&chunk) {
                Ok(said) => said,
                Err(error) => return Cut::Failed(Failure::Failed(format!("{}: {error}", self.client.address()))),
            };
            for said in said {
                let Said::Data(data) = said else {
                    self.tell(Event::Heard).await;
                    continue;
                };
                let view: View = match serde_json::from_str(&data) {
                    Ok(view) => view,
                    Err(error) => {
                        let message = format!("{} sends an event that is not perch's: {error}", self.client.address());
                        return Cut::Failed(Failure::Failed(message));
                    }
                };
                *came = true;
                let generation = Some(view.generation);
                self.tell(Event::View(Box::new(view), data)).await;
                if self.with_history && known != generation {
                    known = generation;
                    self.tell_history().await;
                }
            }
        }
    }

    /// Tells what happened; where that cannot be found out, what is known of it stays.
    async fn tell_history(&self) {
        let query = [("limit", HISTORY.to_string())];
        let path = [self.model, "history"];
        let asked = tokio::time::timeout(PATIENCE, self.client.get(&path, &query)).await;
        if let Ok(Ok(answer)) = asked
            && let Ok(past) = self.client.parse::<Past>(answer)
        {
            self.tell(Event::History(past.history)).await;
        }
    }

    async fn tell(&self, event: Event) {
        // The watcher is gone only when all of this is.
        let _ = self.events.send(event).await;
    }
}

/// Whether waiting is of no use. A model that is not there may come back with a server that is just starting.
fn is_final(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. })
}
