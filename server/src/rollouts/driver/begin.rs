//! How a rollout begins to be at work in this process: with what an earlier process has counted, or with a place among
//! several replicas.

use std::sync::Arc;

use perch_router::policy::RolloutPolicy;
use perch_router::rollout::State;
use perch_store::{EvidenceRow, StoreError};

use super::{Driver, patiently};
use crate::rollouts::live::{Seat, Stored};
use crate::rollouts::model::ModelRollout;

/// What a rollout begins with.
#[derive(Debug, Clone)]
pub struct Start {
    /// What earlier processes have counted.
    pub(in crate::rollouts) stored: Stored,
    /// Its place among several replicas, and the policy that all of them judge by.
    pub(in crate::rollouts) seat: Option<(Seat, Arc<RolloutPolicy>)>,
}

impl Driver {
    /// A model's rollout is in `state`, as it was stored: by this process before it was restarted, or by another.
    pub(super) async fn take_over(&mut self, name: &str, state: State) {
        let Some(model) = self.models.get_mut(name) else { return };
        model.state = state;
        model.dirty = false;
        self.begin(name, false).await;
    }

    /// Lets the rollout be as its state says; what is not at work yet begins. `fresh`: nobody has counted anything of it.
    pub(super) async fn begin(&mut self, name: &str, fresh: bool) {
        let needed = self.models.get(name).and_then(ModelRollout::needs_evidence);
        let start = match needed {
            None => None,
            Some(rollout) if self.tools.fleet().is_some() => self.join(name, &rollout).await,
            Some(_) if fresh => Some(Start { stored: Stored::default(), seat: None }),
            Some(rollout) => Some(Start { stored: self.evidence(name, &rollout).await, seat: None }),
        };
        self.apply(name, start.as_ref());
    }

    /// A place among the others. Without one the canary gets no requests here.
    async fn join(&self, name: &str, rollout: &str) -> Option<Start> {
        let (fleet, model) = (self.tools.fleet()?, self.models.get(name)?);
        if fleet.is_away() {
            return None;
        }
        match fleet.join(name, rollout, &model.rollout.policy).await {
            Ok((seat, policy)) => Some(Start { stored: Stored::default(), seat: Some((seat, Arc::new(policy))) }),
            Err(error) => {
                // It is tried again with each tick.
                self.lose(&error);
                None
            }
        }
    }

    /// The evidence that an earlier process has left of a rollout, taken over as this one's.
    async fn evidence(&self, name: &str, rollout: &str) -> Stored {
        let Some(store) = self.store.clone() else { return Stored::default() };
        let rows = match patiently(store.evidence(rollout)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(model = name, error = error.message, "evidence cannot be read: it begins anew");
                return Stored::default();
            }
        };
        let Some(newest) = rows.into_iter().next() else { return Stored::default() };
        let stored = match serde_json::from_value::<Stored>(newest.payload.clone()) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(model = name, %error, "evidence of another version of perch: it begins anew");
                return Stored::default();
            }
        };
        let row = EvidenceRow { boot: self.boot.clone(), sequence: 0, ..newest };
        if let Err(error) = patiently(store.adopt_evidence(&row)).await {
            tracing::warn!(model = name, error = error.message, "evidence is not this process's yet");
        }
        stored
    }

    /// Lets requests, loads and views be as the state says.
    pub(super) fn apply(&mut self, name: &str, start: Option<&Start>) {
        let tools = self.tools.clone();
        if let Some(model) = self.models.get_mut(name) {
            model.apply(&tools, start);
            if let Some(fleet) = tools.fleet() {
                fleet.knows(name, model.state.generation);
            }
            self.share(name);
            self.show(name);
        }
    }

    /// What was counted of rollouts of a model that are over is needed no longer.
    pub(super) async fn forget(&self, name: &str) -> Result<(), StoreError> {
        let keep = self.models.get(name).and_then(ModelRollout::rollout_id);
        patiently(self.reachable()?.forget_evidence(name, keep.as_deref())).await?;
        if let Some(fleet) = self.tools.fleet() {
            patiently(fleet.store().disband(name, keep.as_deref())).await?;
        }
        Ok(())
    }
}
