//! How a rollout ends.

use super::{Alias, Course, Effect, PausedBy, Phase, Reason, Version, change::Change};
use crate::{policy::Occasion, weight::Weight};

impl Change<'_> {
    /// The canary is good: all requests go to it, and the aliases follow.
    pub fn promote(&mut self, course: Course, moves: bool) {
        let moves = moves && self.rules.moves_aliases;
        let (old, new) = (self.state.stable.clone(), course.version);
        if moves {
            // First: a crash between the two leaves a way back.
            if let Some(old) = &old {
                self.effect(Effect::SetAlias(Alias::Previous, old.clone()));
            }
            self.effect(Effect::SetAlias(Alias::Stable, new.clone()));
            self.effect(Effect::ClearCanary);
        }
        let (state, reason, at) = ("promoted", String::new(), self.now);
        self.effect(Effect::Tag { version: new.clone(), state, reason, at });
        self.effect(Effect::Notify(Occasion::Promoted, format!("version {} is promoted", new.name)));
        self.note(format!("version {} is promoted", new.name));
        let until = self.now + course.plan.scale_down_delay.as_secs();
        self.state.phase = Phase::Promoted { old, new, moved: moves, until };
    }

    /// A promotion that held: the old version goes. Not before the alias has moved, by us or, where the policy leaves
    /// that to others, by them.
    pub fn settle(&mut self) {
        let Phase::Promoted { old, new, until, .. } = &self.state.phase else { return };
        let arrived = self.state.stable.as_ref().is_some_and(|stable| stable.digest == new.digest);
        if self.now < *until || !arrived {
            return;
        }
        let (old, new) = (old.clone(), new.clone());
        self.note(format!("version {} has held", new.name));
        self.effect(Effect::Retire(old));
        self.state.phase = Phase::Idle;
        self.begin_if_new();
    }

    /// Demotes `digest`, if that is what is tried.
    pub fn demote_digest(&mut self, digest: &str, reason: Reason) {
        if self.state.trying().is_some_and(|version| version.digest == digest) {
            self.demote(reason);
        }
    }

    /// The canary is bad: out at once, and not again for a while.
    pub fn demote(&mut self, reason: Reason) {
        let Some(version) = self.state.trying().cloned() else { return };
        self.note(format!("version {} is demoted: {reason}", version.name));
        let back = self.move_back();
        let until = self.now + self.rules.quarantine;
        let now = self.now;
        self.state.quarantine.retain(|_, until| *until > now);
        self.state.quarantine.insert(version.digest.clone(), until);
        self.effect(Effect::Quarantine(version.digest.clone(), until));
        self.effect(Effect::Tag { version: version.clone(), state: "demoted", reason: reason.to_string(), at: now });
        let message = format!("version {} is demoted: {reason}", version.name);
        self.effect(Effect::Notify(Occasion::Demoted, message));
        self.state.phase = Phase::Demoted { version, reason, at: now, back };
    }

    /// The canary is taken out for another reason. Nothing where nothing is tried.
    pub fn abort(&mut self, reason: Reason) {
        if self.state.trying().is_some() {
            let moved = self.move_back();
            self.give_up(reason);
            if let Phase::Aborted { back, .. } = &mut self.state.phase {
                *back = moved;
            }
        }
    }

    /// The same, and the aliases stay where somebody else has put them.
    pub fn give_up(&mut self, reason: Reason) {
        let Some(version) = self.state.trying().cloned() else { return };
        let message = format!("version {} is aborted: {reason}", version.name);
        self.note(message.clone());
        let (state, at) = ("aborted", self.now);
        self.effect(Effect::Tag { version: version.clone(), state, reason: reason.to_string(), at });
        self.effect(Effect::Notify(Occasion::Aborted, message));
        self.state.phase = Phase::Aborted { version, reason, at, back: None };
    }

    /// Where stable was moved by a promotion, it goes back. `previous` stays: it points there too.
    fn move_back(&mut self) -> Option<Version> {
        let Phase::Promoted { old: Some(old), moved: true, .. } = &self.state.phase else { return None };
        let old = old.clone();
        self.effect(Effect::SetAlias(Alias::Stable, old.clone()));
        Some(old)
    }

    /// Stable fails as well: no weight, no quarantine.
    pub fn suspend(&mut self, reason: &Reason) {
        let paused = match &self.state.phase {
            Phase::Paused { by, .. } => Some(*by),
            _ => None,
        };
        if let Some(course) = self.take_course() {
            let message = format!("version {} is suspended, as stable fails as well: {reason}", course.version.name);
            self.note(message.clone());
            self.effect(Effect::Notify(Occasion::Suspended, message));
            self.state.phase = Phase::Suspended { course, paused };
        }
    }

    /// Back to its step, and to its pause if `paused`. Evidence begins anew: what was seen while stable failed as well is not the canary's.
    pub fn unsuspend(&mut self, paused: Option<PausedBy>, why: &str) {
        if let Some(mut course) = self.take_course() {
            self.note(why);
            self.state.starts += 1;
            self.effect(Effect::FreshEvidence(self.state.starts));
            (course.executions, course.executions_before, course.spent) = (0, 0, 0.0);
            (course.entered, course.ticked, course.last_evidence) = (self.now, self.now, None);
            self.state.phase = match paused {
                Some(by) => Phase::Paused { course, by },
                None => Phase::Progressing(course),
            };
            self.begin_steps();
        }
    }

    /// Begins with the first step what was made ready while it could not.
    pub fn begin_steps(&mut self) {
        if let Phase::Progressing(course) = &self.state.phase
            && course.ready
            && !course.begun
        {
            let message = format!("version {} is tried", course.version.name);
            self.effect(Effect::Notify(Occasion::Started, message));
            self.proceed(0);
        }
    }

    /// Whether something has weight by its steps.
    pub const fn has_begun(&self) -> bool {
        matches!(&self.state.phase, Phase::Progressing(course) | Phase::Paused { course, .. } if course.begun && course.ready)
    }

    /// Gives the canary a weight, in a phase that has one.
    pub const fn give(&mut self, weight: Weight) {
        if let Phase::Progressing(course) | Phase::Paused { course, .. } = &mut self.state.phase {
            course.weight = weight;
        }
    }
}
