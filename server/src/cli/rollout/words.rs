//! A rollout in words: one sentence that says what is so now.

use chrono::{DateTime, Datelike as _, FixedOffset};
use serde_json::Value;

use super::render::numbers::{percent, span};
use super::render::text::clean;
use super::view::{State, Version, View};

/// `MODEL: what is so`.
pub(super) fn sentence(view: &View, now: &DateTime<FixedOffset>) -> String {
    format!("{}: {}", clean(&view.model), clean(&what_is_so(view, now)))
}

/// What is so now, without the model's name.
pub(super) fn what_is_so(view: &View, now: &DateTime<FixedOffset>) -> String {
    let serves = view
        .stable
        .as_ref()
        .map_or_else(|| "no version serves".to_owned(), |stable| format!("version {} serves", stable.version));
    let because = |word: &str| match &view.reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word.to_owned(),
    };
    let waiting = view.waiting_for.as_ref().map(|what| format!("; waiting for {what}")).unwrap_or_default();
    match &view.state {
        State::Idle => format!("{serves}, nothing is tried"),
        State::Progressing if !view.ready => format!("{}, the canary is loading", place(view)),
        State::Progressing => match &view.waiting_for {
            Some(what) => format!("{}, waiting for {what}", place(view)),
            None => place(view),
        },
        State::Paused if view.paused_by.as_deref() == Some("inconclusive") => {
            format!("{}, {}{waiting}", place(view), paused(view))
        }
        State::Paused => format!("{}, {}", place(view), paused(view)),
        State::Suspended => format!("{}, {}{waiting}", place(view), because("suspended")),
        State::Promoted => {
            let until = view.until.as_deref().and_then(time).map(|until| {
                let left = (until - now).as_seconds_f64();
                let at = until.with_timezone(&now.timezone()).format("%H:%M:%S");
                format!("; the old version stays until {at} ({} left)", span(left))
            });
            format!("{} is promoted{}", tried(view), until.unwrap_or_default())
        }
        State::Demoted => format!("{} is {}; {serves}", tried(view), because("demoted")),
        State::Aborted => format!("{} is {}; {serves}", tried(view), because("aborted")),
        State::Other(word) => format!("{}, {}", place(view), because(word)),
    }
}

/// `version 2 at 50 %, step 4 of 9`.
fn place(view: &View) -> String {
    let at = format!("{} at {}", tried(view), percent(view.weight));
    match (view.step, view.steps) {
        (Some(step), Some(steps)) => format!("{at}, step {step} of {steps}"),
        _ => at,
    }
}

fn tried(view: &View) -> String {
    view.canary.as_ref().map_or_else(|| "the canary".to_owned(), |Version { version }| format!("version {version}"))
}

/// Who or what holds it.
pub(super) fn paused(view: &View) -> String {
    let by = match view.paused_by.as_deref() {
        Some("step") => "paused by its step".to_owned(),
        Some("operator") => "paused by operator".to_owned(),
        Some("inconclusive") => "paused, its gate is inconclusive".to_owned(),
        // The reason says which replica cannot load it.
        Some("unfit") | None => "paused".to_owned(),
        Some(other) => format!("paused by {other}"),
    };
    view.reason.as_ref().map_or_else(|| by.clone(), |reason| format!("{by}: {reason}"))
}

/// A step of a plan.
pub(super) fn step(step: &Value) -> String {
    let Some((kind, what)) = step.as_object().and_then(|step| step.iter().next()) else {
        return text_of(step);
    };
    let field = |name: &str| what.get(name).filter(|value| !value.is_null()).map(text_of);
    match kind.as_str() {
        "setWeight" => {
            format!("weight {}", what.as_f64().map_or_else(|| text_of(what), percent))
        }
        "pause" => match (field("duration"), field("minExecutions")) {
            (None, None) => "pause until promoted".to_owned(),
            (Some(duration), None) => format!("pause {duration}"),
            (None, Some(least)) => format!("pause until {least} executions"),
            (Some(duration), Some(least)) => format!("pause {duration} and {least} executions"),
        },
        "gate" => {
            let metrics = what.get("metrics").map(text_of).filter(|metrics| !metrics.is_empty());
            let confidence = what.get("confidence").and_then(Value::as_f64);
            let confidence = confidence.map(|sure| format!(", {} sure", percent(sure * 100.0)));
            format!("gate {}{}", metrics.unwrap_or_default(), confidence.unwrap_or_default()).trim_end().to_owned()
        }
        "promote" => "promote".to_owned(),
        kind => match text_of(what) {
            what if what.is_empty() => kind.to_owned(),
            what => format!("{kind} {what}"),
        },
    }
}

/// A value of a step in few words.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(text_of).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", text_of(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A time on the wire.
pub(super) fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}

/// A time on the wire as a person at `now` reads it: the day only where it is another one, the year only where it is
/// another one, too.
pub(super) fn when(text: &str, now: &DateTime<FixedOffset>) -> String {
    let Some(at) = time(text) else { return text.to_owned() };
    let at = at.with_timezone(&now.timezone());
    let form = match at.date_naive() {
        day if day == now.date_naive() => "%H:%M:%S",
        day if day.year() == now.year() => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    at.format(form).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<FixedOffset> {
        time("2026-11-03T12:03:04+01:00").expect("a time")
    }

    fn said(mut change: impl FnMut(&mut Value)) -> String {
        let mut view = json!({"model": "m", "generation": 7, "state": "progressing", "stable": {"version": "1"},
            "canary": {"version": "2"}, "ready": true, "weight": 50.0, "step": 4, "steps": 9});
        change(&mut view);
        sentence(&serde_json::from_value(view).expect("a view"), &now())
    }

    #[test]
    fn each_state_has_its_sentence() {
        assert_eq!(said(|_| ()), "m: version 2 at 50 %, step 4 of 9");
        assert_eq!(
            said(|view| view["waitingFor"] = json!("4 m of traffic")),
            "m: version 2 at 50 %, step 4 of 9, waiting for 4 m of traffic"
        );
        assert_eq!(
            said(|view| view["ready"] = json!(false)),
            "m: version 2 at 50 %, step 4 of 9, the canary is loading"
        );
        let paused = |by: Value| {
            said(|view| {
                view["state"] = json!("paused");
                view["pausedBy"] = by.clone();
            })
        };
        assert_eq!(paused(json!("operator")), "m: version 2 at 50 %, step 4 of 9, paused by operator");
        assert_eq!(paused(json!("step")), "m: version 2 at 50 %, step 4 of 9, paused by its step");
        assert_eq!(
            paused(json!("inconclusive")),
            "m: version 2 at 50 %, step 4 of 9, paused, its gate is inconclusive"
        );
        assert_eq!(paused(json!("night")), "m: version 2 at 50 %, step 4 of 9, paused by night");
        let waiting = said(|view| {
            (view["state"], view["waitingFor"]) = (json!("suspended"), json!("stable to recover"));
        });
        assert_eq!(waiting, "m: version 2 at 50 %, step 4 of 9, suspended; waiting for stable to recover");
        let ended = |state: &str| {
            said(|view| {
                view["state"] = json!(state);
                view["reason"] = json!("errors: 0.31 is above 0.01");
                view["until"] = json!("2026-11-03T11:13:04Z");
            })
        };
        assert_eq!(ended("demoted"), "m: version 2 is demoted: errors: 0.31 is above 0.01; version 1 serves");
        assert_eq!(ended("aborted"), "m: version 2 is aborted: errors: 0.31 is above 0.01; version 1 serves");
        assert_eq!(ended("promoted"), "m: version 2 is promoted; the old version stays until 12:13:04 (10 m left)");
        assert_eq!(ended("suspended"), "m: version 2 at 50 %, step 4 of 9, suspended: errors: 0.31 is above 0.01");
        assert_eq!(ended("idle"), "m: version 1 serves, nothing is tried");
        assert_eq!(ended("mirroring"), "m: version 2 at 50 %, step 4 of 9, mirroring: errors: 0.31 is above 0.01");
    }

    #[test]
    fn steps_are_read_aloud() {
        for (value, text) in [
            (json!({"setWeight": 10}), "weight 10 %"),
            (json!({"setWeight": 0.25}), "weight 0.25 %"),
            (json!({"pause": {"duration": "5m", "minExecutions": 329}}), "pause 5m and 329 executions"),
            (json!({"pause": {"duration": "5m"}}), "pause 5m"),
            (json!({"pause": {"minExecutions": 329}}), "pause until 329 executions"),
            (json!({"pause": {}}), "pause until promoted"),
            (
                json!({"gate": {"metrics": ["errors", "latency"], "confidence": 0.95}}),
                "gate errors, latency, 95 % sure",
            ),
            (json!({"gate": {}}), "gate"),
            (json!({"promote": {}}), "promote"),
            (json!({"smokeTest": {"requests": 10}}), "smokeTest requests 10"),
            (json!("odd"), "odd"),
        ] {
            assert_eq!(step(&value), text);
        }
    }

    #[test]
    fn times_are_those_of_the_reader() {
        assert_eq!(when("2026-11-03T10:00:01Z", &now()), "11:00:01");
        assert_eq!(when("2026-11-02T10:00:01.5Z", &now()), "11-02 11:00");
        assert_eq!(when("2025-11-02T10:00:01.5Z", &now()), "2025-11-02");
        assert_eq!(when("yesterday", &now()), "yesterday");
    }
}
