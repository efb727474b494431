//! A rollout as lines of text. Pure: the same scene gives the same lines.

pub(super) mod numbers;
mod replicas;
mod sections;
mod tables;
pub(super) mod text;

#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, FixedOffset};

use self::numbers::span;
use self::text::{Glyphs, Line, Look, cut, width};
use super::view::{Moved, State, View};

/// What is drawn.
pub(super) struct Scene<'a> {
    pub(super) view: &'a View,
    /// Newest first.
    pub(super) history: &'a [Moved],
    pub(super) link: &'a Link,
    pub(super) now: DateTime<FixedOffset>,
    /// Columns.
    pub(super) width: usize,
    /// Rows, where they are limited.
    pub(super) height: Option<usize>,
    pub(super) glyphs: &'a Glyphs,
}

/// How fresh the view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It was asked for once.
    Once,
    /// Events arrive.
    Live,
    /// Nothing came for that long.
    Stale(Duration),
    /// There is no connection.
    Lost {
        /// Since the last event.
        age: Duration,
        /// Until the next try; nothing while it is under way.
        next: Option<Duration>,
        /// Why.
        error: String,
    },
}

/// How much of the scene is drawn: less where rows are few.
struct Detail {
    /// Steps of the plan around the one it is at.
    steps: usize,
    /// Replicas.
    replicas: usize,
    /// Transitions.
    history: usize,
    /// Whether sections stand apart.
    apart: bool,
}

const DETAILS: [Detail; 6] = [
    Detail { steps: usize::MAX, replicas: 12, history: 5, apart: true },
    Detail { steps: usize::MAX, replicas: 6, history: 3, apart: false },
    Detail { steps: 5, replicas: 4, history: 3, apart: false },
    Detail { steps: 3, replicas: 3, history: 2, apart: false },
    Detail { steps: 3, replicas: 1, history: 1, apart: false },
    Detail { steps: 1, replicas: 0, history: 1, apart: false },
];

/// The scene in lines, none wider than it.
pub(super) fn render(scene: &Scene<'_>) -> Vec<Line> {
    let rows = scene.height.unwrap_or(usize::MAX);
    let drawn = DETAILS.iter().map(|detail| frame(scene, detail));
    let mut lines = Vec::new();
    for candidate in drawn {
        lines = candidate;
        if lines.len() <= rows {
            return lines;
        }
    }
    let hidden = lines.len() - rows.saturating_sub(1);
    lines.truncate(rows.saturating_sub(1));
    if rows > 0 {
        let text = format!("{hidden} more lines on a taller terminal");
        lines.push(Line::new().with(Look::Dim, text).fit(scene.width, scene.glyphs));
    }
    lines
}

fn frame(scene: &Scene<'_>, detail: &Detail) -> Vec<Line> {
    let sections = [
        sections::summary(scene),
        sections::warnings(scene),
        sections::steps(scene, detail.steps),
        tables::metrics(scene),
        tables::gate(scene),
        tables::tracks(scene),
        replicas::replicas(scene, detail.replicas),
        sections::fallbacks(scene),
        sections::quarantine(scene),
        sections::history(scene, detail.history),
    ];
    let mut lines = vec![title(scene)];
    for section in sections.into_iter().filter(|section| !section.is_empty()) {
        // What the state is belongs to the title.
        if detail.apart && lines.len() > 1 {
            lines.push(Line::new());
        }
        lines.extend(section);
    }
    lines.into_iter().map(|line| line.fit(scene.width, scene.glyphs)).collect()
}

/// Model and state; at the right end the time and how fresh all of it is.
fn title(scene: &Scene<'_>) -> Line {
    let (look, link) = match scene.link {
        Link::Once => (Look::Dim, String::new()),
        Link::Live => (Look::Good, "live".to_owned()),
        Link::Stale(age) => (Look::Warn, format!("{} old", span(age.as_secs_f64()))),
        Link::Lost { age, .. } => (Look::Bad, format!("cut off, {} old", span(age.as_secs_f64()))),
    };
    let clock = scene.now.format("%H:%M:%S").to_string();
    let right = width(&clock) + if link.is_empty() { 0 } else { 2 + width(&link) };
    let state = scene.view.state.word();
    let name = text::clean(&scene.view.model);
    let room = scene.width.saturating_sub(right + 2 + width(state) + 2);
    let mut line = Line::new()
        .with(Look::Strong, cut(&name, room.max(8), scene.glyphs))
        .plain("  ")
        .with(state_look(&scene.view.state), state);
    if let (true, Some(stable), Some(canary)) = (scene.view.state.is_trying(), &scene.view.stable, &scene.view.canary) {
        let versions = format!("  {} {} {}", stable.version, scene.glyphs.arrow, canary.version);
        if line.width() + width(&versions) + 2 + right <= scene.width {
            line = line.plain(versions);
        }
    }
    let line = line.up_to(scene.width.saturating_sub(right)).with(Look::Dim, clock);
    if link.is_empty() { line } else { line.plain("  ").with(look, link) }
}

fn state_look(state: &State) -> Look {
    match state {
        State::Idle => Look::Dim,
        State::Progressing | State::Promoted => Look::Good,
        State::Paused | State::Suspended | State::Other(_) => Look::Warn,
        State::Demoted | State::Aborted => Look::Bad,
    }
}
