//! `perch rollout watch`: one model's rollout as it goes on.

mod feed;
mod lines;
mod screen;
mod sse;
mod until;

use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::mpsc;

use self::feed::{Event, Feed};
use self::lines::Told;
use self::screen::Screen;
use self::until::{Goal, Until};
use super::console::{Console, now};
use super::options::{Connection, Surroundings};
use super::render::text::clean;
use super::render::{Link, Scene, render};
use super::view::{Moved, View};
use super::words::sentence;
use crate::cli::{Failure, Outcome, Output};
use crate::lifecycle;

/// While something is tried events come every second; later ones are late.
const LATE: Duration = Duration::from_secs(3);
/// Otherwise comments come every few seconds.
const LATE_WHEN_IDLE: Duration = Duration::from_secs(30);
/// How often ages and clocks move.
const TICK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Watch {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Exit 0 when the rollout ends like this, 1 when it ends otherwise.
    ///
    /// An end that is there already counts: see --version.
    #[arg(long, value_enum, value_name = "END")]
    until: Option<Until>,
    /// Only ends of this version count for --until.
    #[arg(long, value_name = "VERSION", requires = "until")]
    version: Option<String>,
    /// Exit 1 when this takes longer, such as 10m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// The form of the result; json is one line per event.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Watch {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        let client = self.connection.client(around)?;
        let model = client.model(self.model.as_deref()).await?;
        let with_history = console.terminal && self.output == Output::Text;
        let (sender, mut events) = mpsc::channel(16);
        let feed = Feed { client: &client, model: &model, with_history, events: sender };
        let outcome = {
            let mut watcher = Watcher::new(console, self.output);
            tokio::select! {
                failure = feed.run() => Err(failure),
                outcome = self.follow(&mut watcher, &mut events) => outcome.map(|()| watcher.last_line()),
            }
        };
        // After the screen is gone, what was seen last stays.
        if let Some(line) = outcome? {
            console.line(&line)?;
        }
        Ok(())
    }

    /// Shows events until one of them, time or a signal ends it.
    async fn follow(&self, watcher: &mut Watcher<'_, '_>, events: &mut mpsc::Receiver<Event>) -> Outcome {
        let mut goal = self.until.map(|until| Goal::new(until, self.version.clone()));
        let mut ticks = tokio::time::interval(TICK);
        let signal = lifecycle::signal();
        let timeout = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(signal, timeout);
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                _ = ticks.tick() => None,
                signal = &mut signal => return self.interrupted(signal),
                () = &mut timeout => return Err(Failure::Failed(self.too_late(watcher))),
            };
            watcher.take(event)?;
            let Some(view) = &watcher.view else { continue };
            match goal.as_mut().and_then(|goal| goal.ends(view)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(message)) => return Err(Failure::Failed(clean(&message))),
                None if watcher.console.closed => return Ok(()),
                None => {}
            }
        }
    }

    fn interrupted(&self, signal: std::io::Result<&'static str>) -> Outcome {
        match (signal, self.until) {
            (Err(error), _) => Err(Failure::Failed(format!("signals cannot be waited for: {error}"))),
            (Ok(signal), Some(until)) => Err(Failure::Failed(format!("{signal} came before the end {}", until.word()))),
            (Ok(_), None) => Ok(()),
        }
    }

    fn too_late(&self, watcher: &Watcher<'_, '_>) -> String {
        let timeout = self.timeout.map(humantime::format_duration).map(|timeout| timeout.to_string());
        let last = watcher.view.as_ref().map(|view| lines::line(view, &now()));
        format!("after {} it is: {}", timeout.unwrap_or_default(), last.unwrap_or_else(|| "unknown".to_owned()))
    }
}

/// What was told so far, and how it is shown.
struct Watcher<'c, 'o> {
    console: &'c mut Console<'o>,
    output: Output,
    view: Option<View>,
    history: Vec<Moved>,
    told: Told,
    /// There once something is to be seen.
    screen: Option<Screen>,
    /// When the last event, and the last sign of life came.
    event: Instant,
    heard: Instant,
    /// Why there is no connection, and when the next try is.
    lost: Option<(String, Option<Instant>)>,
}

impl<'c, 'o> Watcher<'c, 'o> {
    fn new(console: &'c mut Console<'o>, output: Output) -> Self {
        let at = Instant::now();
        Self {
            console,
            output,
            view: None,
            history: Vec::new(),
            told: Told::default(),
            screen: None,
            event: at,
            heard: at,
            lost: None,
        }
    }

    /// Takes an event, or nothing but the time.
    fn take(&mut self, event: Option<Event>) -> Outcome {
        let at = Instant::now();
        let quiet = self.on_screen();
        match event {
            Some(Event::View(view, raw)) => {
                (self.event, self.heard) = (at, at);
                if self.lost.take().is_some() && !quiet {
                    self.console.tell("connected again");
                }
                if self.output == Output::Json {
                    self.console.line(&raw)?;
                } else if !quiet && let Some(line) = self.told.next(&view, at, &now()) {
                    self.console.line(&line)?;
                }
                self.view = Some(*view);
            }
            Some(Event::History(history)) => self.history = history,
            Some(Event::Heard) => self.heard = at,
            Some(Event::Lost(error, wait)) => {
                if !quiet {
                    let wait = wait.as_secs_f64();
                    self.console
                        .tell(&format!("no connection to the server, next try in about {wait} s: {}", clean(&error)));
                }
                self.lost = Some((error, Some(at + wait)));
            }
            Some(Event::Trying) => {
                if let Some((_, next)) = &mut self.lost {
                    *next = None;
                }
            }
            None => {}
        }
        if quiet { self.draw() } else { Ok(()) }
    }

    const fn on_screen(&self) -> bool {
        self.console.terminal && matches!(self.output, Output::Text)
    }

    fn draw(&mut self) -> Outcome {
        let Some(view) = &self.view else { return Ok(()) };
        let link = self.link(view);
        let (width, height) = self.console.size();
        let glyphs = self.console.glyphs;
        let scene = Scene { view, history: &self.history, link: &link, now: now(), width, height, glyphs: &glyphs };
        let lines: Vec<String> = render(&scene).iter().map(|line| self.console.styled(line)).collect();
        let failed = |error: std::io::Error| Failure::Failed(format!("the terminal cannot be written to: {error}"));
        if self.screen.is_none() {
            self.screen = Some(Screen::enter().map_err(failed)?);
        }
        self.screen.as_ref().map_or(Ok(()), |screen| screen.draw(&lines)).map_err(failed)
    }

    fn link(&self, view: &View) -> Link {
        let age = self.event.elapsed();
        if let Some((error, next)) = &self.lost {
            let next = next.map(|next| next.saturating_duration_since(Instant::now()));
            return Link::Lost { age, next, error: error.clone() };
        }
        let silent = self.heard.elapsed();
        if view.state.is_trying() && age > LATE {
            Link::Stale(age)
        } else if silent > LATE_WHEN_IDLE {
            Link::Stale(silent)
        } else {
            Link::Live
        }
    }

    /// What was seen last, where it is not on the screen any more.
    fn last_line(&self) -> Option<String> {
        self.view.as_ref().filter(|_| self.screen.is_some()).map(|view| sentence(view, &now()))
    }
}
