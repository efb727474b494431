//! What the driver hears, and what it makes of it.

use std::collections::BTreeMap;

use perch_router::judge::Verdict;
use perch_router::rollout::{Command, Event as Happened, State};

use super::Driver;
use crate::metrics::rollouts as metrics;
use crate::rollouts::handle::{Asked, CommandError, Event, Followed};
use crate::rollouts::live::Trip;
use crate::rollouts::model::ModelRollout;

/// Who is named in the audit; in a fleet with the replica.
pub(super) const JUDGE: &str = "judge";
pub(super) const SCHEDULE: &str = "schedule";
pub(super) const REGISTRY: &str = "registry";

impl Driver {
    pub(super) async fn hear(&mut self, event: Event) {
        match event {
            Event::Follow(followed) => self.follow(*followed).await,
            Event::Seen(name, seen) => {
                if let Some(model) = self.models.get_mut(&name) {
                    model.seen = Some(seen);
                    self.face_facts(&name).await;
                }
            }
            Event::Smoked { model: name, digest, result } => {
                if let Some(model) = self.models.get_mut(&name).filter(|model| model.smoke.is_of(&digest)) {
                    model.smoke.end(result);
                    self.apply(&name, None);
                    self.face_facts(&name).await;
                }
            }
            Event::Command(asked) => self.command(asked).await,
            Event::Stored(states) => self.stored(states).await,
        }
    }

    async fn follow(&mut self, followed: Followed) {
        let mut model = ModelRollout::new(followed, &self.tools.rollouts);
        let name = model.name().to_owned();
        metrics::begin(&name);
        if let Some(fleet) = self.tools.fleet() {
            fleet.follow(&name);
        }
        let stored = if self.store.is_some() { self.known.remove(&name) } else { None };
        if stored.is_none() {
            // What is known without the store is what rests: nothing is tried.
            model.state = self.known.get(&name).cloned().unwrap_or_default();
        }
        self.models.insert(name.clone(), model);
        match stored {
            Some(state) => self.take_over(&name, state).await,
            None => self.apply(&name, None),
        }
    }

    /// Other replicas have changed something.
    async fn stored(&mut self, states: BTreeMap<String, State>) {
        for (name, state) in states {
            let is_new = |model: &ModelRollout| {
                // What could not be stored here comes first.
                model.unsaved.is_empty() && state.generation > model.state.generation
            };
            if !self.models.get(&name).is_some_and(is_new) {
                continue;
            }
            self.take_over(&name, state).await;
            self.hear_of_change(&name).await;
            self.keep();
            self.face_facts(&name).await;
        }
    }

    /// A judge has decided. The canary is out already.
    pub(super) async fn tripped(&mut self, trip: Trip) {
        let Trip { model: name, start, metric, verdict } = trip;
        let Verdict { value, limit, evidence, n, bad, .. } = verdict;
        tracing::warn!(model = name, metric, value, limit, evidence, n, bad, "the judge takes the canary out");
        // What stable did up to now is part of the question: in an outage of both, a quarter of a second is long.
        if let Some(work) = self.models.get_mut(&name).and_then(|model| model.at_work.as_mut()) {
            work.vitals.observe(&work.live);
            if let Some(failing) = work.vitals.heard_of_stable(&work.live) {
                let _ = self.happen(&name, &Happened::StableFailing(failing), JUDGE).await;
            }
        }
        let event = Happened::Judged { start, metric, verdict };
        // What cannot be stored is taken out all the same; a command is never what is refused here.
        let _ = self.happen(&name, &event, JUDGE).await;
        if let Some(work) = self.models.get(&name).and_then(|model| model.at_work.as_ref()) {
            work.live.heard();
        }
        // It may have been about an earlier start, or suspended: then the weight is what the state says.
        self.apply(&name, None);
    }

    async fn command(&mut self, asked: Asked) {
        let Asked { model: name, command, expected, who, reply } = asked;
        let result = self.obey(&name, command, expected, &who).await;
        // The caller may be gone.
        let _ = reply.send(result);
    }

    async fn obey(
        &mut self,
        name: &str,
        command: Command,
        expected: Option<u64>,
        who: &str,
    ) -> Result<(), CommandError> {
        let model = self.models.get(name).ok_or(CommandError::UnknownModel)?;
        let generation = model.state.generation;
        if expected.is_some_and(|expected| expected != generation) {
            return Err(CommandError::Stale(generation));
        }
        if self.store.is_none() {
            return Err(CommandError::Store(self.tools.rollouts.store_error().unwrap_or_default()));
        }
        self.happen_if(name, &Happened::Command(command), &format!("operator:{who}"), expected).await?;
        // A rollout that starts anew finds its canary loaded, perhaps.
        self.face_facts(name).await;
        Ok(())
    }
}
