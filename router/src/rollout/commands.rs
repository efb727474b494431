//! What somebody says.

use super::{PausedBy, Phase, Refused, change::Change};
use crate::{policy::Step, weight::Weight};

impl Change<'_> {
    /// Tries the canary again, from the first step.
    pub fn retry(&mut self, force: bool) -> Result<(), Refused> {
        if self.state.trying().is_some() {
            return Err(Refused(format!("a rollout is {} already", self.state.phase.name())));
        }
        let Some(canary) = self.state.canary.clone() else {
            return Err(Refused("there is no canary".to_owned()));
        };
        if self.state.stable.as_ref().is_some_and(|stable| stable.digest == canary.digest) {
            return Err(Refused("the canary is stable already".to_owned()));
        }
        if let Some(until) = self.state.quarantined(&canary.digest, self.now) {
            if !force {
                let hours = (until - self.now) / 3600.0;
                return Err(Refused(format!("version {} is in quarantine for {hours:.1} h: force it", canary.name)));
            }
            self.state.quarantine.remove(&canary.digest);
            self.note("quarantine is lifted by force");
        }
        self.begin(canary);
        Ok(())
    }

    /// On to the next step.
    pub fn skip(&mut self) -> Result<(), Refused> {
        self.must_have_begun()?;
        if let Phase::Progressing(course) | Phase::Paused { course, .. } = &self.state.phase {
            let next = course.step + 1;
            self.note("promoted by hand");
            self.proceed(next);
        }
        Ok(())
    }

    /// On to promotion.
    pub fn promote_full(&mut self) -> Result<(), Refused> {
        self.must_have_begun()?;
        if let Some(course) = self.take_course() {
            let moves = !matches!(course.plan.steps.last(), Some(Step::Promote(promote)) if !promote.move_alias);
            self.note("promoted by hand, in full");
            self.promote(course, moves);
        }
        Ok(())
    }

    pub fn pause(&mut self) -> Result<(), Refused> {
        match &self.state.phase {
            Phase::Paused { .. } => Ok(()),
            Phase::Progressing(_) => {
                self.hold("paused by hand");
                Ok(())
            }
            _ => Err(self.cannot("pause")),
        }
    }

    pub fn resume(&mut self) -> Result<(), Refused> {
        match &self.state.phase {
            Phase::Progressing(_) => {}
            Phase::Suspended { paused, .. } => {
                let by_step = paused.filter(|by| *by == PausedBy::Step);
                self.unsuspend(by_step, "resumed by hand");
            }
            Phase::Paused { course, by: PausedBy::Step } => {
                let next = course.step + 1;
                self.note("resumed by hand");
                self.proceed(next);
            }
            Phase::Paused { .. } => {
                if let Some(mut course) = self.take_course() {
                    self.note("resumed by hand");
                    (course.entered, course.ticked) = (self.now, self.now);
                    self.state.phase = Phase::Progressing(course);
                    self.begin_steps();
                }
            }
            _ => return Err(self.cannot("resume")),
        }
        Ok(())
    }

    pub fn set_weight(&mut self, weight: Weight) -> Result<(), Refused> {
        self.must_have_begun()?;
        self.hold(&format!("weight set to {weight} % by hand"));
        self.give(weight);
        Ok(())
    }

    /// Paused, by somebody, where it is.
    fn hold(&mut self, why: &str) {
        let by = match &self.state.phase {
            Phase::Paused { by, .. } => *by,
            _ => PausedBy::Operator,
        };
        if let Some(course) = self.take_course() {
            self.note(why);
            self.state.phase = Phase::Paused { course, by };
        }
    }

    fn must_have_begun(&self) -> Result<(), Refused> {
        if self.has_begun() { Ok(()) } else { Err(self.cannot("promote or weigh")) }
    }

    fn cannot(&self, what: &str) -> Refused {
        match &self.state.phase {
            Phase::Progressing(course) | Phase::Paused { course, .. } if !course.ready => {
                Refused(format!("cannot {what}: version {} is not ready yet", course.version.name))
            }
            phase => Refused(format!("cannot {what}: the rollout is {}", phase.name())),
        }
    }
}
