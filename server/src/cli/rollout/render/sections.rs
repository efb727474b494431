//! What of a frame is no table: what is so, warnings, the plan, fallbacks, quarantine, what happened last.

use super::numbers::{count, percent, rounded, span};
use super::text::{Line, Look, bar, clean, cut, width};
use super::{Link, Scene};
use crate::cli::models::table::short;
use crate::cli::rollout::view::{Quarantined, State};
use crate::cli::rollout::words::{self, time, what_is_so, when};

/// A weight bar is not longer: it has nothing more to say.
const WEIGHT_BAR: usize = 40;

/// What is so in words, the weight, and the settings.
pub(super) fn summary(scene: &Scene<'_>) -> Vec<Line> {
    let view = scene.view;
    let sentence = wrapped(&what_is_so(view, &scene.now), scene.width);
    let mut lines: Vec<Line> = sentence.into_iter().map(|text| Line::new().plain(text)).collect();
    let settings = [
        view.strategy.clone(),
        format!("{} split", view.split),
        format!("{} judge", view.judge),
        format!("generation {}", view.generation),
        view.store.as_ref().map_or_else(String::new, |store| format!("store {}", store.state)),
    ];
    let settings: Vec<String> =
        settings.into_iter().filter(|word| !word.is_empty() && !word.starts_with(' ')).collect();
    let settings = packed(settings.iter().map(String::as_str), ", ", scene.width);
    lines.extend(settings.into_iter().map(|text| Line::new().with(Look::Dim, text)));
    if view.state.is_trying() || view.state == State::Promoted {
        lines.push(weight(scene));
    }
    lines
}

fn weight(scene: &Scene<'_>) -> Line {
    let view = scene.view;
    let actual = match view.actual_share {
        Some(share) => format!("really {}", percent(share)),
        None => "no requests".to_owned(),
    };
    let mut numbers = format!("  {}, {actual} in the last minute", percent(view.weight));
    if scene.width < width(&numbers) + 8 + WEIGHT_BAR / 2 {
        numbers = format!("  {}, {actual}", percent(view.weight));
    }
    let room = scene.width.saturating_sub(width(&numbers) + 8).min(WEIGHT_BAR);
    let (full, empty) = bar(view.weight / 100.0, room, scene.glyphs);
    Line::new().with(Look::Strong, "weight  ").with(Look::Good, full).with(Look::Dim, empty).plain(numbers)
}

/// What a person has to know before everything else.
pub(super) fn warnings(scene: &Scene<'_>) -> Vec<Line> {
    let view = scene.view;
    let mut warnings = Vec::new();
    if let Link::Lost { next, error, .. } = scene.link {
        let next =
            next.map_or_else(|| "trying now".to_owned(), |next| format!("next try in {}", span(next.as_secs_f64())));
        warnings.push((Look::Bad, format!("no connection to the server, {next}: {error}")));
    }
    if let Some(store) = view.store.as_ref().filter(|store| store.state != "ready") {
        let error = store.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        warnings
            .push((Look::Bad, format!("the store is {}, weights hold and nothing is promoted{error}", store.state)));
    }
    if view.stable_failing {
        warnings.push((Look::Warn, "stable is above its own limit, too: look there first".to_owned()));
    }
    let lines = warnings.into_iter().flat_map(|(look, text)| {
        let wrapped = wrapped(&text, scene.width.saturating_sub(2)).into_iter().enumerate();
        wrapped.map(move |(row, text)| Line::new().with(look, format!("{}{text}", if row == 0 { "! " } else { "  " })))
    });
    lines.collect()
}

/// The plan, or as much of it as is near the present step.
pub(super) fn steps(scene: &Scene<'_>, most: usize) -> Vec<Line> {
    let view = scene.view;
    let Some(at) = view.step.filter(|at| *at > 0 && *at <= view.plan.len()) else { return Vec::new() };
    let shown = most.min(view.plan.len());
    // The present step with the next ones, and one before it.
    let first = at.saturating_sub(2).min(view.plan.len() - shown);
    let first = if shown == 1 { at - 1 } else { first };
    let mut head = Line::new().with(Look::Strong, "STEPS");
    if shown < view.plan.len() {
        head = head.with(Look::Dim, format!("  {} of {}", shown, view.plan.len()));
    }
    let mut lines = vec![head];
    for (index, step) in view.plan.iter().enumerate().skip(first).take(shown) {
        let number = index + 1;
        let (mark, look) = match number.cmp(&at) {
            std::cmp::Ordering::Less => (scene.glyphs.done, Look::Dim),
            std::cmp::Ordering::Equal => (scene.glyphs.here, Look::Strong),
            std::cmp::Ordering::Greater => (" ", Look::Plain),
        };
        let line = Line::new().with(look, format!("  {mark} {number:>2}  {}", words::step(step)));
        let room = scene.width.saturating_sub(line.width());
        lines.push(if number == at { line.plain(clock(scene, room)) } else { line });
    }
    lines
}

/// How far the present step is, as far as there is room.
fn clock(scene: &Scene<'_>, room: usize) -> String {
    let since = scene.view.step_elapsed.map(|elapsed| format!("{} in", span(elapsed)));
    let left = scene.view.step_remaining.map(|remaining| format!("{} left", span(remaining)));
    let forms = match (since, left) {
        (Some(since), Some(left)) => vec![format!("   {since}, {left}"), format!("   {left}")],
        (since, left) => since.into_iter().chain(left).map(|one| format!("   {one}")).collect(),
    };
    forms.into_iter().find(|form| width(form) <= room).unwrap_or_default()
}

/// Requests that stable answered for the canary, by reason, and how many more it may.
pub(super) fn fallbacks(scene: &Scene<'_>) -> Vec<Line> {
    let Some(fallbacks) = &scene.view.fallbacks else { return Vec::new() };
    let counts =
        [("error", fallbacks.error), ("timeout", fallbacks.timeout), ("invalid output", fallbacks.invalid_output)];
    let counts: Vec<String> = counts.iter().map(|(name, number)| format!("{name} {}", count(*number))).collect();
    let mut line = Line::new().with(Look::Strong, "FALLBACKS  ").plain(counts.join(", "));
    let refused = format!(", exhausted {}", count(fallbacks.exhausted));
    line = line.with(if fallbacks.exhausted > 0 { Look::Bad } else { Look::Plain }, refused);
    if let (Some(left), Some(burst)) = (fallbacks.left, fallbacks.burst) {
        let look = if left < burst / 4.0 { Look::Warn } else { Look::Plain };
        let budget = format!("{} of {} left", rounded(left), rounded(burst));
        if line.width() + 2 + budget.len() > scene.width {
            return vec![line, Line::new().plain("           ").with(look, budget)];
        }
        line = line.plain(", ").with(look, budget);
    }
    vec![line]
}

/// Versions that are not tried for a while.
pub(super) fn quarantine(scene: &Scene<'_>) -> Vec<Line> {
    let of = |one: &Quarantined| {
        let until = one.until.as_deref().map_or_else(String::new, |until| {
            let left = time(until).map(|at| format!(" ({} left)", span((at - scene.now).as_seconds_f64())));
            format!(" until {}{}", when(until, &scene.now), left.unwrap_or_default())
        });
        let line = Line::new().with(Look::Strong, "QUARANTINE  ");
        line.plain(format!("{}{until}", short(&one.digest)))
    };
    scene.view.quarantine.iter().map(of).collect()
}

/// What happened last, newest first.
pub(super) fn history(scene: &Scene<'_>, most: usize) -> Vec<Line> {
    if scene.history.is_empty() {
        return Vec::new();
    }
    let shown = &scene.history[..most.min(scene.history.len())];
    let widest = |texts: Vec<String>| texts.iter().map(|text| width(text)).max().unwrap_or_default();
    let times = widest(shown.iter().map(|moved| when(&moved.at, &scene.now)).collect());
    let names = widest(shown.iter().map(|moved| who(&moved.who)).collect()).min(scene.width / 5);
    let mut lines = vec![Line::new().with(Look::Strong, "LAST")];
    for moved in shown {
        let from = moved.from.as_ref().filter(|from| **from != moved.to);
        let states =
            from.map_or_else(|| moved.to.clone(), |from| format!("{from} {} {}", scene.glyphs.arrow, moved.to));
        let line = Line::new().with(Look::Dim, format!("  {}", when(&moved.at, &scene.now))).up_to(2 + times);
        let line = line.plain(format!("  {}", cut(&who(&moved.who), names, scene.glyphs))).up_to(4 + times + names);
        // What was done says more than the states do.
        let what = moved.what.clone().filter(|what| !what.is_empty()).unwrap_or(states);
        lines.push(line.plain("  ").plain(what));
    }
    lines
}

/// Who did something; that people are operators goes without saying.
fn who(who: &str) -> String {
    clean(who.strip_prefix("operator:").unwrap_or(who))
}

/// A text in lines of at most so many columns, broken between words; a word that is longer is left to be cut.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    packed(clean(text).split_whitespace(), " ", columns)
}

/// Items in lines of at most so many columns, none of them broken.
pub(super) fn packed<'a>(items: impl Iterator<Item = &'a str>, separator: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            // What follows on the next line leaves its comma here.
            Some(line) if width(line) + width(separator) + width(item) + width(separator.trim_end()) <= columns => {
                line.push_str(separator);
                line.push_str(item);
            }
            Some(line) => {
                line.push_str(separator.trim_end());
                lines.push(item.to_owned());
            }
            None => lines.push(item.to_owned()),
        }
    }
    lines
}
