//! The real state machine, told what happens.

use crate::{
    judge::Verdict,
    policy::{Pause, Step},
    rollout::{Command, Effect, Event, PausedBy, Phase, Rules, State, Version, step},
};

/// A longer time between two ticks does not count in full, in seconds.
const LONGEST_TICK: f64 = 5.0;

pub(super) struct Machine<'a> {
    rules: &'a Rules,
    pub state: State,
}

fn version(name: &str) -> Version {
    Version { name: name.to_owned(), digest: name.to_owned() }
}

impl<'a> Machine<'a> {
    /// A canary that is loaded and warm, at time zero.
    pub fn started(rules: &'a Rules, stable_fails: bool) -> Self {
        let mut machine = Self { rules, state: State::default() };
        machine.tell(&Event::StableMoved(version("1")), 0.0);
        machine.tell(&Event::StableFailing(stable_fails), 0.0);
        machine.tell(&Event::CanaryAppeared(version("2")), 0.0);
        machine.tell(&Event::CanaryReady("2".to_owned()), 0.0);
        // Somebody lets it begin.
        while matches!(machine.state.phase, Phase::Paused { by: PausedBy::Step, .. }) && machine.weight() == 0.0 {
            machine.tell(&Event::Command(Command::Resume), 0.0);
        }
        machine
    }

    /// True where the weight changed. What aliases are asked to be, they are at once.
    pub fn tell(&mut self, event: &Event, now: f64) -> bool {
        let Ok((state, effects)) = step(&self.state, self.rules, event, now) else { return false };
        self.state = state;
        let mut changed = false;
        for effect in effects {
            match effect {
                Effect::SetWeight(_) => changed = true,
                Effect::SetAlias(crate::rollout::Alias::Stable, version) => {
                    self.tell(&Event::StableMoved(version), now);
                }
                Effect::ClearCanary => {
                    self.tell(&Event::CanaryRemoved, now);
                }
                _ => {}
            }
        }
        changed
    }

    /// A metric passed its limit.
    pub fn judged(&mut self, metric: &str, verdict: Verdict, now: f64) {
        let (start, metric) = (self.state.starts, metric.to_owned());
        self.tell(&Event::Judged { start, metric, verdict }, now);
    }

    /// The canary's share of requests.
    pub fn weight(&self) -> f64 {
        self.state.weight().share()
    }

    /// The step it is at; the number of steps once it is promoted.
    pub fn place(&self) -> usize {
        match &self.state.phase {
            Phase::Progressing(course) | Phase::Paused { course, .. } | Phase::Suspended { course, .. } => course.step,
            _ => self.rules.plan.steps.len(),
        }
    }

    /// Names of the metrics of the gate that it is at, and how surely they have to pass.
    pub fn gate(&self) -> Option<(usize, &[String], f64)> {
        let Phase::Progressing(course) = &self.state.phase else { return None };
        match course.plan.steps.get(course.step) {
            Some(Step::Gate(gate)) => Some((course.step, &gate.metrics, gate.confidence)),
            _ => None,
        }
    }

    /// How long nothing has to be looked at, in seconds: not past the end of a pause.
    pub fn rest(&self, now: f64, longest: f64) -> f64 {
        let (left, longest) = match &self.state.phase {
            Phase::Progressing(course) => {
                let left = match course.plan.steps.get(course.step) {
                    Some(Step::Pause(Pause { duration: Some(duration), .. })) => duration.as_secs() - course.spent,
                    _ => 0.0,
                };
                // Who waits for evidence is looked at after a tenth of the time that it has waited.
                let waits = ((now - course.entered) / 10.0).max(1.0);
                (if left > 1e-6 { left } else { waits }, longest.min(LONGEST_TICK))
            }
            Phase::Promoted { until, .. } => (until - now, longest),
            _ => (longest, longest),
        };
        // What is left of a pause may be what rounding left of it.
        if left > 1e-6 { left.min(longest) } else { longest.min(1.0) }
    }
}
