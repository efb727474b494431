//! From an event to a stored state. Nothing that a rollout does outside of this process happens before it is stored;
//! only taking a canary out does not wait.

use std::sync::Arc;

use perch_router::policy::Occasion;
use perch_router::rollout::{Effect, Event as Happened, Phase, step};
use perch_router::weight::Weight;
use perch_store::{Store, StoreError, Swap, Transition};

use super::{Driver, patiently};
use crate::metrics::rollouts as metrics;
use crate::rollouts::effects;
use crate::rollouts::handle::CommandError;
use crate::rollouts::model::Unsaved;

impl Driver {
    /// Lets `event` happen to a model's rollout.
    pub(super) async fn happen(&mut self, name: &str, event: &Happened, who: &str) -> Result<(), CommandError> {
        self.happen_if(name, event, who, None).await
    }

    /// The same, only while the generation is the one that is expected, where one is.
    pub(super) async fn happen_if(
        &mut self,
        name: &str,
        event: &Happened,
        who: &str,
        expected: Option<u64>,
    ) -> Result<(), CommandError> {
        loop {
            let now = self.tools.clock.now();
            let clock = self.tools.clock.clone();
            let model = self.models.get_mut(name).ok_or(CommandError::UnknownModel)?;
            let generation = model.state.generation;
            if expected.is_some_and(|expected| expected != generation) {
                return Err(CommandError::Stale(generation));
            }
            let (mut next, effects) =
                step(&model.state, &model.rules, event, now).map_err(|refused| CommandError::Refused(refused.0))?;
            if effects.is_empty() {
                model.dirty |= next != model.state;
                model.state = next;
                return Ok(());
            }
            if let Some(at) = model.seen.as_ref().and_then(|seen| seen.at).filter(|_| is_of_registry(event)) {
                next.seen_at = clock.at(at);
                model.told = Some((at, next.seen_at));
            }
            // What serves as stable from here on keeps its requests: the old version shall not flicker up in between.
            let serves_on = effects.iter().any(|effect| matches!(effect, Effect::Retire(_)));
            let takes_out = !serves_on && next.weight() == Weight::ZERO && model.state.weight() > Weight::ZERO;
            if takes_out && let Some(work) = &model.at_work {
                work.live.set_weight(Weight::ZERO, false);
            }
            let named = self.named(who);
            let Some(model) = self.models.get(name) else { return Err(CommandError::UnknownModel) };
            let transition = effects::transition(model, next, &effects, &named, now);
            match self.save(&transition).await {
                Ok(Swap::Done) => {}
                Ok(Swap::Stale { .. }) => {
                    self.reload(name).await?;
                    continue;
                }
                Err(error) if takes_out => {
                    tracing::error!(model = name, error = error.message, "a canary is out, and that is not stored yet");
                    self.tools.rollouts.set_store(Err(error.message));
                    if let Some(model) = self.models.get_mut(name) {
                        let (transition, event, who) = (transition.clone(), event.clone(), who.to_owned());
                        model.unsaved.push(Unsaved { transition, event, who });
                    }
                }
                Err(error) => {
                    self.tools.rollouts.set_store(Err(error.message.clone()));
                    self.apply(name, None);
                    return Err(CommandError::Store(error.message));
                }
            }
            self.enter(name, transition, &effects).await;
            return Ok(());
        }
    }

    /// Stores a transition, after those of its model that could not be stored before.
    async fn save(&mut self, transition: &Transition) -> Result<Swap, StoreError> {
        if !self.save_unsaved(&transition.model).await? {
            // What has happened meanwhile comes first.
            return Ok(Swap::Stale { generation: transition.from });
        }
        self.swap(transition).await
    }

    async fn swap(&self, transition: &Transition) -> Result<Swap, StoreError> {
        patiently(self.reachable()?.transition(transition)).await
    }

    /// The store, unless it is known to be away: nobody waits for it then.
    pub(super) fn reachable(&self) -> Result<Arc<dyn Store>, StoreError> {
        if self.tools.fleet().is_some_and(|fleet| fleet.is_away()) {
            return Err(StoreError::unavailable("it does not answer"));
        }
        self.store.clone().ok_or_else(|| StoreError::unavailable("it is not open"))
    }

    /// Stores what this process did while the store was away. False where others have done something meanwhile: then
    /// that is the state, and what this process saw has happened to it again.
    pub(super) async fn save_unsaved(&mut self, name: &str) -> Result<bool, StoreError> {
        while let Some(first) = self.models.get(name).and_then(|model| model.unsaved.first().cloned()) {
            match self.swap(&first.transition).await? {
                Swap::Done => {
                    if let Some(model) = self.models.get_mut(name) {
                        model.unsaved.remove(0);
                    }
                    self.wake();
                }
                Swap::Stale { .. } => {
                    // Rare, and it lets events happen in its turn.
                    Box::pin(self.catch_up(name)).await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Others have stored something while the store was away for this process, or an attempt of its own that seemed to fail
    /// was stored: what it took out then is taken out of what is stored.
    async fn catch_up(&mut self, name: &str) -> Result<(), StoreError> {
        let stored = patiently(self.reachable()?.states()).await?;
        let Some(model) = self.models.get_mut(name) else { return Ok(()) };
        let unsaved = std::mem::take(&mut model.unsaved);
        let held = model.at_work.as_ref().map(|work| work.live.clone());
        // Until all of it has happened again, nothing goes to the canary.
        if let Some(live) = &held {
            live.hold(true);
        }
        self.take_over(name, stored.get(name).cloned().unwrap_or_default()).await;
        for Unsaved { event, who, .. } in unsaved {
            // What cannot be stored now waits as before; what means nothing any more is over.
            let _ = self.happen(name, &event, &who).await;
        }
        if let Some(live) = &held {
            live.hold(false);
        }
        self.apply(name, None);
        self.keep();
        Ok(())
    }

    /// Takes over what somebody else has stored.
    async fn reload(&mut self, name: &str) -> Result<(), CommandError> {
        let of = |error: StoreError| CommandError::Store(error.message);
        let states = patiently(self.reachable().map_err(of)?.states()).await.map_err(of)?;
        self.take_over(name, states.get(name).cloned().unwrap_or_default()).await;
        Ok(())
    }

    /// The state is stored, or goes on without: requests, people and programs see it.
    async fn enter(&mut self, name: &str, transition: Transition, effects: &[Effect]) {
        let Transition { state, audit, .. } = transition;
        let Some(model) = self.models.get_mut(name) else { return };
        let before = std::mem::replace(&mut model.state, state);
        model.dirty = false;
        self.audit.record(name, &audit);
        if audit.from != audit.to {
            metrics::count_transition(name, &audit.from, &audit.to, reason(&model.state.phase, &audit.who));
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Notify(Occasion::Demoted, _))) {
            metrics::count_demotion(name);
        }
        model.last_change = Some(audit);
        let starts = model.state.starts;
        self.begin(name, true).await;
        self.keep();
        self.wake();
        if before.starts != starts
            && let Err(error) = self.forget(name).await
        {
            tracing::warn!(model = name, error = error.message, "old evidence cannot be removed");
        }
    }
}

/// Whether it is about what the registry says.
const fn is_of_registry(event: &Happened) -> bool {
    matches!(event, Happened::CanaryAppeared(_) | Happened::CanaryRemoved | Happened::StableMoved(_))
}

/// What a transition's metric calls its reason.
fn reason(phase: &Phase, who: &str) -> &'static str {
    use perch_router::rollout::{PausedBy, Reason};
    match phase {
        Phase::Paused { by: PausedBy::Step, .. } => "step",
        Phase::Paused { by: PausedBy::Operator, .. } => "operator",
        Phase::Paused { by: PausedBy::Inconclusive, .. } => "inconclusive",
        Phase::Paused { by: PausedBy::Unfit, .. } => "unfit",
        Phase::Demoted { reason, .. } | Phase::Aborted { reason, .. } => match reason {
            Reason::Breach { .. } => "breach",
            Reason::Outage { .. } => "outage",
            Reason::Veto(_) => "veto",
            Reason::Unfit(_) => "unfit",
            Reason::Operator => "operator",
            Reason::StableMoved => "stable_moved",
            Reason::CanaryRemoved => "canary_removed",
            Reason::Superseded => "superseded",
            Reason::Inconclusive => "inconclusive",
        },
        Phase::Suspended { .. } => "stable_failing",
        Phase::Idle | Phase::Progressing(_) | Phase::Promoted { .. } if who.starts_with("operator") => "operator",
        Phase::Idle | Phase::Progressing(_) | Phase::Promoted { .. } => "schedule",
    }
}
