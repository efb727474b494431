//! From step to step.

use super::{Course, Effect, PausedBy, Phase, Reason, Version, change::Change};
use crate::{
    policy::{Occasion, OnInconclusive, Pause, Step},
    weight::Weight,
};

/// The step's clock runs for so long after the last execution of the canary, in seconds.
const EVIDENCE: f64 = 60.0;
/// The longest time between two ticks that counts, in seconds: while the store was away the clock stood.
const LONGEST_TICK: f64 = 5.0;

impl Change<'_> {
    /// A rollout of `version` starts. It has no weight until it is ready.
    pub fn begin(&mut self, version: Version) {
        self.state.starts += 1;
        self.note(format!("rollout {} of version {} starts", self.state.starts, version.name));
        self.effect(Effect::FreshEvidence(self.state.starts));
        self.state.phase = Phase::Progressing(Course {
            version,
            plan: self.rules.plan.clone(),
            ready: false,
            step: 0,
            begun: false,
            weight: Weight::ZERO,
            entered: self.now,
            spent: 0.0,
            ticked: self.now,
            executions: 0,
            executions_before: 0,
            last_evidence: None,
        });
    }

    pub fn canary_ready(&mut self, digest: &str) {
        match &mut self.state.phase {
            Phase::Progressing(course) if course.version.digest == digest && !course.ready => {
                course.ready = true;
                let message = format!("version {} is tried", course.version.name);
                self.effect(Effect::Notify(Occasion::Started, message));
                self.note("canary is loaded and warm");
                self.proceed(0);
            }
            Phase::Paused { course, .. } | Phase::Suspended { course, .. }
                if course.version.digest == digest && !course.ready =>
            {
                course.ready = true;
                self.note("canary is loaded and warm");
            }
            _ => {}
        }
    }

    /// Others can load it: somebody has to look. A rollout that waits for somebody already goes on waiting.
    pub fn replica_unfit(&mut self, digest: &str, why: &str) {
        let is_tried = |course: &Course| course.version.digest == digest;
        if matches!(&self.state.phase, Phase::Progressing(course) if is_tried(course))
            && let Some(course) = self.take_course()
        {
            let message = format!("version {} cannot be loaded everywhere: {why}", course.version.name);
            self.note(message.clone());
            self.effect(Effect::Notify(Occasion::Inconclusive, message));
            self.state.phase = Phase::Paused { course, by: PausedBy::Unfit };
        }
    }

    /// Goes on from step `place`, until one takes time.
    pub fn proceed(&mut self, place: usize) {
        let Some(mut course) = self.take_course() else { return };
        for place in place.. {
            course.step = place;
            course.begun = true;
            course.entered = self.now;
            course.ticked = self.now;
            course.spent = 0.0;
            course.executions_before = course.executions;
            self.note(format!("step {} of {}", place + 1, course.plan.steps.len()));
            match course.plan.steps.get(place) {
                Some(Step::SetWeight(weight)) => course.weight = *weight,
                Some(Step::Pause(Pause { duration: None, .. })) => {
                    self.state.phase = Phase::Paused { course, by: PausedBy::Step };
                    return;
                }
                Some(Step::Pause(_) | Step::Gate(_)) => break,
                Some(Step::Promote(promote)) => {
                    let moves = promote.move_alias;
                    self.promote(course, moves);
                    return;
                }
                // Refused by the policy's check; nothing is promoted by mistake.
                Some(Step::Shadow(_)) | None => {
                    self.state.phase = Phase::Paused { course, by: PausedBy::Operator };
                    return;
                }
            }
        }
        self.state.phase = Phase::Progressing(course);
    }

    /// Time went on. No effects, unless the step is over by it.
    pub fn tick_course(&mut self, start: u64, executions: u64) {
        let now = self.now;
        let Phase::Progressing(course) = &mut self.state.phase else { return };
        if start == self.state.starts && executions > course.executions {
            course.executions = executions;
            course.last_evidence = Some(now);
        }
        let passed = (now - course.ticked).clamp(0.0, LONGEST_TICK);
        course.ticked = now;
        if !course.begun || !course.ready {
            return;
        }
        if course.last_evidence.is_some_and(|last| now - last < EVIDENCE) {
            course.spent += passed;
        }
        if let Some(Step::Pause(Pause { duration: Some(duration), min_executions })) =
            course.plan.steps.get(course.step)
            && course.spent >= duration.as_secs()
            && course.executions - course.executions_before >= *min_executions
        {
            let next = course.step + 1;
            self.proceed(next);
        }
    }

    /// The gate at step `place` was looked at.
    pub fn gate(&mut self, start: u64, place: usize, passed: bool) {
        if start != self.state.starts {
            return;
        }
        let Phase::Progressing(course) = &self.state.phase else { return };
        let Some(Step::Gate(gate)) = course.plan.steps.get(place).filter(|_| course.begun && place == course.step)
        else {
            return;
        };
        let waited = self.now - course.entered >= gate.max_extend.as_secs();
        match gate.on_inconclusive {
            _ if passed => {
                self.note(format!("gate at step {} passed", place + 1));
                self.proceed(place + 1);
            }
            OnInconclusive::Extend if !waited => {}
            OnInconclusive::Extend | OnInconclusive::Pause => {
                if let Some(course) = self.take_course() {
                    let message =
                        format!("gate at step {} of version {} is inconclusive", place + 1, course.version.name);
                    self.note(message.clone());
                    self.effect(Effect::Notify(Occasion::Inconclusive, message));
                    self.state.phase = Phase::Paused { course, by: PausedBy::Inconclusive };
                }
            }
            OnInconclusive::Abort => self.abort(Reason::Inconclusive),
        }
    }
}
