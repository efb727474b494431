//! A change while it is made.

use super::{Course, Effect, Phase, Rules, State};
use crate::weight::Weight;

/// The state so far, and the effects so far.
pub(super) struct Change<'a> {
    before: &'a State,
    pub state: State,
    pub rules: &'a Rules,
    pub now: f64,
    effects: Vec<Effect>,
    what: Vec<String>,
}

impl<'a> Change<'a> {
    pub fn new(before: &'a State, rules: &'a Rules, now: f64) -> Self {
        Self { before, state: before.clone(), rules, now, effects: Vec::new(), what: Vec::new() }
    }

    /// Something to do. Aliases are left alone where they are somebody else's to move.
    pub fn effect(&mut self, effect: Effect) {
        let moves = matches!(effect, Effect::SetAlias(..) | Effect::ClearCanary);
        if self.rules.moves_aliases || !moves {
            self.effects.push(effect);
        }
    }

    /// Something for the audit: there is a change.
    pub fn note(&mut self, what: impl Into<String>) {
        self.what.push(what.into());
    }

    /// Takes the course out of a phase that has one; the phase is idle then.
    pub fn take_course(&mut self) -> Option<Course> {
        match std::mem::take(&mut self.state.phase) {
            Phase::Progressing(course) | Phase::Paused { course, .. } | Phase::Suspended { course, .. } => Some(course),
            other => {
                self.state.phase = other;
                None
            }
        }
    }

    /// The new state and its effects: the weight first, the audit last.
    pub fn done(mut self) -> (State, Vec<Effect>) {
        if self.before.trying().is_some() && self.state.trying().is_none() {
            // Nobody looks at stable any more.
            self.state.stable_failing = false;
        }
        let weight: Weight = self.state.weight();
        if weight != self.before.weight() {
            self.effects.insert(0, Effect::SetWeight(weight));
        }
        if !self.effects.is_empty() || !self.what.is_empty() {
            self.state.generation += 1;
            let (from, to) = (self.before.phase.name(), self.state.phase.name());
            self.effects.push(Effect::Audit { from, to, what: self.what.join("; ") });
        }
        (self.state, self.effects)
    }
}
