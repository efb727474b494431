//! What the driver tells the other replicas, and what it keeps for a start without the store.

use perch_router::track::Track;

use super::{Driver, patiently};
use crate::rollouts::fleet::{Alone, Note};
use crate::rollouts::handle::SeenCanary;
use crate::rollouts::model::ModelRollout;
use crate::rollouts::view;

impl Driver {
    /// Tells the others what is at work here.
    pub(super) fn share(&self, name: &str) {
        let (Some(fleet), Some(model)) = (self.tools.fleet(), self.models.get(name)) else { return };
        let Some((work, together)) = model.at_work.as_ref().and_then(|work| Some((work, work.live.together()?))) else {
            return fleet.tell(name, None);
        };
        let live = &work.live;
        let alone = live.judges.iter().filter_map(|judge| {
            let verdict = judge.alone()?;
            let enough = Some(verdict.enough).filter(|enough| enough.is_finite());
            let alone = Alone { evidence: verdict.evidence, enough, n: verdict.n, bad: verdict.bad };
            Some((judge.metric.name.clone(), alone))
        });
        let note = Note {
            replica: fleet.boot().to_owned(),
            ready: is_ready(model),
            unfit: unfit(model),
            other_policy: together.seat().other_policy,
            executions: live.executed_here(),
            weight: work.weight,
            gates: work.gates.stored(live),
            minute: Track::ALL.map(|track| work.vitals.minute(track)),
            metrics: alone.collect(),
        };
        fleet.tell(name, Some((live, note)));
    }

    /// Another replica has changed a model's rollout: who, and what.
    pub(super) async fn hear_of_change(&mut self, name: &str) {
        let Some(store) = self.store.clone() else { return };
        let row = patiently(store.history(name, 1, None)).await.ok().and_then(|rows| rows.into_iter().next());
        if let Some(model) = self.models.get_mut(name) {
            model.last_change = row.or(model.last_change.take());
            self.show(name);
        }
    }

    /// Who does something, as others are told.
    pub(super) fn named(&self, who: &str) -> String {
        match self.tools.fleet() {
            Some(fleet) if !who.starts_with("operator") => format!("{who}@{}", fleet.name()),
            _ => who.to_owned(),
        }
    }

    /// Keeps the states as they are, for a start without the store.
    pub(super) fn keep(&self) {
        let Some(keep) = self.keep.clone() else { return };
        let mut states = self.known.clone();
        states.extend(self.models.iter().map(|(name, model)| (name.clone(), model.state.clone())));
        let number = keep.number();
        self.lifecycle.spawn_blocking(move || {
            if let Err(error) = keep.write(number, &states) {
                tracing::warn!(%error, "what was taken out is not remembered for a start without the store");
            }
        });
    }

    /// Until the store can be opened, what was taken out before rests, and nothing is tried.
    pub(super) fn remember(&mut self) {
        let Some(keep) = self.keep.as_ref().filter(|_| self.known.is_empty()) else { return };
        match keep.read() {
            Ok(states) => {
                self.known = states;
                self.wish();
            }
            Err(error) => tracing::error!(%error, "what was kept of rollouts cannot be read"),
        }
    }
}

/// Whether the canary that is tried is loaded here, warm and tested.
pub(in crate::rollouts) fn is_ready(model: &ModelRollout) -> bool {
    let (Some(tried), Some(seen)) = (model.state.trying(), &model.seen) else { return false };
    let SeenCanary::Ready(version) = &seen.canary else { return false };
    let tests = view::course(&model.state.phase).map(|course| &course.plan.smoke_tests);
    let untested = tests.is_some_and(|tests| !tests.is_off());
    version.digest == tried.digest && (!untested || matches!(model.smoke.of(&version.digest), Some(Ok(()))))
}

/// Why it cannot be.
pub(super) fn unfit(model: &ModelRollout) -> Option<String> {
    let (tried, seen) = (model.state.trying()?, model.seen.as_ref()?);
    match &seen.canary {
        SeenCanary::Unfit(version, why) if version.digest == tried.digest => Some(why.clone()),
        SeenCanary::Ready(version) if version.digest == tried.digest => {
            let why = model.smoke.of(&version.digest)?.as_ref().err()?;
            Some(format!("smoke tests: {why}"))
        }
        _ => None,
    }
}
