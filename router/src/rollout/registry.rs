//! What the registry's aliases say.

use super::{Effect, Phase, Reason, Version, change::Change};

/// How long a promotion that was taken back may take to be seen in the registry, in seconds. Whoever moves the alias there
/// later means it.
const ON_ITS_WAY: f64 = 600.0;

impl Change<'_> {
    pub fn canary_appeared(&mut self, version: &Version) {
        if let Some(canary) = self.state.canary.as_mut().filter(|canary| canary.digest == version.digest) {
            if canary.name != version.name {
                canary.name.clone_from(&version.name);
                self.note(format!("canary is version {}, with the same files", version.name));
                self.rename(version);
            }
            return;
        }
        self.state.canary = Some(version.clone());
        self.note(format!("canary is version {}", version.name));
        if matches!(self.state.phase, Phase::Promoted { .. }) {
            // The one before it is still watched: it begins when that has settled.
            return;
        }
        if self.state.trying().is_some() {
            self.abort(Reason::Superseded);
        }
        self.begin_if_new();
    }

    /// What is tried has another number by now.
    fn rename(&mut self, version: &Version) {
        if let Phase::Progressing(course) | Phase::Paused { course, .. } | Phase::Suspended { course, .. } =
            &mut self.state.phase
            && course.version.digest == version.digest
        {
            course.version.name.clone_from(&version.name);
        }
    }

    /// Starts what the alias `canary` points to, unless it is stable already or in quarantine.
    pub fn begin_if_new(&mut self) {
        let Some(canary) = self.state.canary.clone() else { return };
        let stable = self.state.stable.clone().filter(|stable| stable.digest == canary.digest);
        if stable.as_ref().is_some_and(|stable| stable.name == canary.name) {
            // A promotion that was cut off after stable had moved.
            self.note("canary is stable already");
            self.effect(Effect::ClearCanary);
        } else if let Some(stable) = stable {
            // Whoever registered the same files twice may want to keep the alias.
            self.note(format!("version {} has the files of stable, version {}", canary.name, stable.name));
        } else if let Some(until) = self.state.quarantined(&canary.digest, self.now) {
            let hours = (until - self.now) / 3600.0;
            self.note(format!("version {} is in quarantine for {hours:.1} h", canary.name));
        } else {
            self.begin(canary);
        }
    }

    pub fn canary_removed(&mut self) {
        if self.state.canary.take().is_none() {
            return;
        }
        self.note("canary was removed");
        if !matches!(self.state.phase, Phase::Promoted { .. }) {
            self.abort(Reason::CanaryRemoved);
        }
    }

    pub fn stable_moved(&mut self, version: &Version) {
        let old = self.state.stable.replace(version.clone());
        if old.as_ref().is_some_and(|old| old.digest == version.digest) {
            return;
        }
        self.note(format!("stable is version {}", version.name));
        let is_tried = self.state.trying().is_some_and(|tried| tried.digest == version.digest);
        match &self.state.phase {
            // Our own promotion has arrived.
            Phase::Promoted { .. } if is_tried => {}
            Phase::Progressing(_) | Phase::Paused { .. } | Phase::Suspended { .. } if is_tried => {
                // Somebody promoted it by hand.
                self.state.phase = Phase::Idle;
                self.effect(Effect::Retire(old));
                self.effect(Effect::ClearCanary);
            }
            Phase::Progressing(_) | Phase::Paused { .. } | Phase::Suspended { .. } if old.is_none() => {}
            Phase::Progressing(_) | Phase::Paused { .. } | Phase::Suspended { .. } | Phase::Promoted { .. } => {
                self.give_up(Reason::StableMoved);
            }
            Phase::Idle | Phase::Demoted { .. } | Phase::Aborted { .. } => {
                // A promotion that was taken back may be seen only now; the way back comes behind it.
                if let Phase::Demoted { version: taken, at, back, .. } | Phase::Aborted { version: taken, at, back, .. } =
                    &mut self.state.phase
                    && (taken.digest != version.digest || self.now - *at >= ON_ITS_WAY)
                {
                    *back = None;
                }
                if self.state.canary.as_ref().is_some_and(|canary| canary.digest == version.digest) {
                    self.effect(Effect::ClearCanary);
                }
            }
        }
    }
}
