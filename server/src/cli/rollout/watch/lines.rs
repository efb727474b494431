//! A watched rollout in lines, where there is no terminal: one per change, and now and then how far it is.

use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset};

use crate::cli::rollout::render::numbers::{count, evidence, percent};
use crate::cli::rollout::render::text::clean;
use crate::cli::rollout::view::{Metric, State, View};
use crate::cli::rollout::words;

/// How often progress is told of.
const EVERY: Duration = Duration::from_secs(5);

/// What was told so far.
#[derive(Default)]
pub(super) struct Told {
    what: Option<What>,
    at: Option<Instant>,
}

/// What of a view is a change when it is another.
#[derive(PartialEq)]
struct What {
    state: State,
    versions: [Option<String>; 2],
    step: Option<usize>,
    weight: String,
    texts: [Option<String>; 2],
    flags: [bool; 2],
    store: Option<String>,
}

impl What {
    fn of(view: &View) -> Self {
        let version =
            |version: &Option<crate::cli::rollout::view::Version>| version.as_ref().map(|it| it.version.clone());
        Self {
            state: view.state.clone(),
            versions: [version(&view.stable), version(&view.canary)],
            step: view.step,
            weight: percent(view.weight),
            texts: [view.reason.clone(), view.paused_by.clone()],
            flags: [view.ready, view.stable_failing],
            store: view.store.as_ref().map(|store| store.state.clone()),
        }
    }
}

impl Told {
    /// The line to tell now, if any.
    pub(super) fn next(&mut self, view: &View, now: Instant, clock: &DateTime<FixedOffset>) -> Option<String> {
        let what = What::of(view);
        let changed = self.what.as_ref() != Some(&what);
        let due = view.state.is_trying() && self.at.is_none_or(|at| now.duration_since(at) >= EVERY);
        if !changed && !due {
            return None;
        }
        (self.what, self.at) = (Some(what), Some(now));
        Some(line(view, clock))
    }
}

/// A view in one line.
pub(super) fn line(view: &View, clock: &DateTime<FixedOffset>) -> String {
    let mut words = vec![clock.format("%H:%M:%S").to_string(), view.model.clone(), view.state.word().to_owned()];
    let trying = view.state.is_trying();
    let version = if view.state == State::Idle { &view.stable } else { &view.canary };
    if let Some(version) = version {
        words.push(format!("version {}", version.version));
    }
    if trying {
        if let (Some(step), Some(steps)) = (view.step, view.steps) {
            words.push(format!("step {step}/{steps}"));
        }
        words.push(format!("weight {}", percent(view.weight)));
        let counts = view.judge == "threshold";
        let metrics: Vec<String> = view.metrics.iter().map(|one| metric(one, counts)).collect();
        words.extend((!metrics.is_empty()).then(|| metrics.join(", ")));
    }
    let mut parts = vec![words.join(" ")];
    parts.extend((trying && !view.ready).then(|| "the canary is loading".to_owned()));
    match (&view.state, &view.reason) {
        (State::Paused, _) => parts.push(words::paused(view)),
        (State::Demoted | State::Aborted, Some(reason)) => parts[0] = format!("{}: {reason}", parts[0]),
        (_, reason) => parts.extend(reason.clone()),
    }
    parts.extend(view.stable_failing.then(|| "stable is failing too".to_owned()));
    let store = view.store.as_ref().filter(|store| store.state != "ready");
    parts.extend(store.map(|store| format!("the store is {}", store.state)));
    clean(&parts.join("; "))
}

fn metric(metric: &Metric, counts: bool) -> String {
    let value = |value: Option<f64>| match value {
        Some(value) if metric.unit == "ratio" => format!("{value:.2}x"),
        Some(value) => percent(value * 100.0),
        None => "-".to_owned(),
    };
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| evidence(value, counts));
    format!(
        "{} {}/{} {} {}/{} n {}",
        metric.name,
        value(metric.value),
        value(metric.limit),
        if counts { "rows" } else { "E" },
        number(metric.evidence),
        number(metric.enough),
        count(metric.n)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(change: impl FnOnce(&mut Value)) -> View {
        let mut view = json!({"model": "m", "generation": 7, "state": "progressing", "stable": {"version": "1"},
            "canary": {"version": "2"}, "ready": true, "weight": 10.0, "step": 2, "steps": 9,
            "metrics": [{"name": "errors", "unit": "share", "value": 0.004, "limit": 0.01, "evidence": -1.2,
                "enough": 7.6, "n": 123}]});
        change(&mut view);
        serde_json::from_value(view).expect("a view")
    }

    fn clock() -> DateTime<FixedOffset> {
        words::time("2026-11-03T12:03:04Z").expect("a time")
    }

    #[test]
    fn a_line_says_what_counts() {
        assert_eq!(
            line(&view(|_| ()), &clock()),
            "12:03:04 m progressing version 2 step 2/9 weight 10 % errors 0.4 %/1 % E -1.2/7.6 n 123"
        );
        let demoted = view(|view| {
            view["state"] = json!("demoted");
            view["reason"] = json!("errors: 0.31\nis above 0.01");
        });
        assert_eq!(line(&demoted, &clock()), "12:03:04 m demoted version 2: errors: 0.31 is above 0.01");
        assert_eq!(line(&view(|view| view["state"] = json!("idle")), &clock()), "12:03:04 m idle version 1");
        let paused = view(|view| {
            view["state"] = json!("paused");
            view["pausedBy"] = json!("operator");
            view["metrics"] = json!([]);
            view["stableFailing"] = json!(true);
            view["store"] = json!({"state": "unavailable"});
        });
        assert_eq!(
            line(&paused, &clock()),
            "12:03:04 m paused version 2 step 2/9 weight 10 %; paused by operator; stable is failing too; the store is \
             unavailable"
        );
        let other = view(|view| {
            view["ready"] = json!(false);
            view["judge"] = json!("threshold");
            view["metrics"] = json!([{"name": "r", "unit": "ratio", "value": 1.1, "limit": null, "evidence": 12,
                "enough": 20, "n": 12}]);
        });
        assert_eq!(
            line(&other, &clock()),
            "12:03:04 m progressing version 2 step 2/9 weight 10 % r 1.10x/- rows 12/20 n 12; the canary is loading"
        );
    }

    #[test]
    fn changes_are_told_at_once_and_progress_every_five_seconds() {
        let start = Instant::now();
        let mut told = Told::default();
        let mut at =
            |seconds: u64, view: &View| told.next(view, start + Duration::from_secs(seconds), &clock()).is_some();
        let going = view(|_| ());
        assert!(at(0, &going));
        assert!(!at(1, &view(|view| view["metrics"][0]["n"] = json!(200))));
        assert!(!at(4, &going));
        assert!(at(5, &going));
        assert!(at(6, &view(|view| view["weight"] = json!(50.0))));
        assert!(!at(10, &view(|view| view["weight"] = json!(50.0))));
        assert!(at(11, &view(|view| view["weight"] = json!(50.0))));
        let idle = view(|view| view["state"] = json!("idle"));
        assert!(at(12, &idle));
        assert!(!at(100, &idle));
    }
}
