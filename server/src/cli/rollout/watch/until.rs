//! What ends a watch: the end of a rollout.

use clap::ValueEnum;

use crate::cli::rollout::view::{State, View};

/// An end to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// The canary became stable.
    Promoted,
    /// The judge took it back.
    Demoted,
    /// Somebody took it back.
    Aborted,
    /// Any of them.
    Ended,
}

impl Until {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
            Self::Aborted => "aborted",
            Self::Ended => "ended",
        }
    }
}

/// What is waited for, and what was tried so far.
pub(super) struct Goal {
    until: Until,
    /// Only ends of this version count.
    version: Option<String>,
    tried: Option<String>,
}

impl Goal {
    pub(super) const fn new(until: Until, version: Option<String>) -> Self {
        Self { until, version, tried: None }
    }

    /// None while the rollout goes on; then whether it ended as was asked for, or how else.
    pub(super) fn ends(&mut self, view: &View) -> Option<Result<(), String>> {
        let canary = view.canary.as_ref().map(|canary| canary.version.clone());
        let counts = |version: &Option<String>| self.version.is_none() || self.version == *version;
        let end = match &view.state {
            State::Promoted => Until::Promoted,
            State::Demoted => Until::Demoted,
            State::Aborted => Until::Aborted,
            // The end fell into a gap of the stream.
            State::Idle if self.tried.is_some() => {
                let stable = view.stable.as_ref().map(|stable| &stable.version);
                if stable == self.tried.as_ref() { Until::Promoted } else { Until::Ended }
            }
            State::Idle => return None,
            State::Progressing | State::Paused | State::Suspended | State::Other(_) => {
                if counts(&canary) {
                    self.tried = canary;
                }
                return None;
            }
        };
        let ended = if view.state == State::Idle { &self.tried } else { &canary };
        if !counts(ended) {
            return None;
        }
        if self.until == Until::Ended || self.until == end {
            return Some(Ok(()));
        }
        let version = ended.as_deref().unwrap_or("the canary");
        let reason = view.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(Err(format!("{}: version {version} is {}, not {}{reason}", view.model, end.word(), self.until.word())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(state: &str, stable: &str, canary: Option<&str>) -> View {
        let canary = canary.map(|version| json!({"version": version}));
        let view =
            json!({"model": "m", "generation": 1, "state": state, "stable": {"version": stable}, "canary": canary});
        serde_json::from_value(view).expect("a view")
    }

    #[test]
    fn an_end_is_the_one_or_another() {
        for (until, state, reached) in [
            (Until::Promoted, "promoted", true),
            (Until::Promoted, "demoted", false),
            (Until::Promoted, "aborted", false),
            (Until::Demoted, "demoted", true),
            (Until::Demoted, "promoted", false),
            (Until::Aborted, "aborted", true),
            (Until::Ended, "aborted", true),
            (Until::Ended, "promoted", true),
        ] {
            let mut goal = Goal::new(until, None);
            for running in ["idle", "progressing", "paused", "suspended", "mirroring"] {
                assert_eq!(goal.ends(&view(running, "1", (running != "idle").then_some("2"))), None, "{running}");
            }
            let end = goal.ends(&view(state, "1", Some("2"))).expect("an end");
            assert_eq!(end.is_ok(), reached, "{until:?} {state}");
        }
    }

    #[test]
    fn an_end_in_a_gap_is_seen_by_what_serves() {
        let gap = |until, stable| {
            let mut goal = Goal::new(until, None);
            assert_eq!(goal.ends(&view("progressing", "1", Some("2"))), None);
            goal.ends(&view("idle", stable, None)).expect("an end")
        };
        assert_eq!(gap(Until::Promoted, "2"), Ok(()));
        assert_eq!(gap(Until::Promoted, "1"), Err("m: version 2 is ended, not promoted".into()));
        assert_eq!(gap(Until::Ended, "1"), Ok(()));
    }

    #[test]
    fn ends_of_other_versions_do_not_count() {
        let mut goal = Goal::new(Until::Promoted, Some("3".into()));
        assert_eq!(goal.ends(&view("promoted", "2", Some("2"))), None);
        assert_eq!(goal.ends(&view("progressing", "2", Some("4"))), None);
        assert_eq!(goal.ends(&view("idle", "2", None)), None);
        assert_eq!(goal.ends(&view("demoted", "2", Some("4"))), None);
        assert_eq!(goal.ends(&view("progressing", "2", Some("3"))), None);
        assert_eq!(goal.ends(&view("promoted", "3", Some("3"))), Some(Ok(())));
    }
}
