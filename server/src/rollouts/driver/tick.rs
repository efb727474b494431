//! What the clock brings: steps that are over, gates, evidence written down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use perch_router::policy::{SmokeTests, Step};
use perch_router::rollout::{Event as Happened, Phase};
use perch_store::{EvidenceRow, StoreError, Swap};

use super::hear::{JUDGE, SCHEDULE};
use super::{Driver, PATIENCE, patiently};
use crate::rollouts::live::Stored;
use crate::rollouts::model::ModelRollout;
use crate::rollouts::{handle::Event, view};
use crate::smoke;

impl Driver {
    /// Looks at everything once. `flush`: evidence is written, and views are drawn anew.
    pub(super) async fn tick(&mut self, flush: bool) {
        if self.store.is_none() && flush {
            self.open().await;
            self.adopt().await;
        }
        let names: Vec<String> = self.models.keys().cloned().collect();
        for name in names {
            self.tick_model(&name).await;
            if flush {
                if let Err(error) = self.write(&name).await {
                    self.lose(&error);
                }
                self.show(&name);
            }
        }
    }

    /// The store has opened late: models that are followed already are what it says.
    async fn adopt(&mut self) {
        let names: Vec<String> = self.models.keys().filter(|name| self.known.contains_key(*name)).cloned().collect();
        for name in names {
            if let Some(state) = self.known.remove(&name) {
                self.take_over(&name, state).await;
            }
        }
    }

    async fn tick_model(&mut self, name: &str) {
        let tools = self.tools.clone();
        let Some(model) = self.models.get_mut(name) else { return };
        if model.state.trying().is_none() {
            model.leave(&tools);
        }
        // The store was away when it began.
        if tools.fleet().is_some() && model.needs_evidence().is_some() {
            self.begin(name, false).await;
        }
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(work) = &mut model.at_work else {
            self.face_facts(name).await;
            return;
        };
        let live = work.live.clone();
        work.vitals.observe(&live);
        work.gates.feed(&live);
        let start = live.start;
        let failing = live.stable_failing();
        let outage = work.vitals.canary_failing(&live).filter(|_| failing);
        let heard = work.vitals.heard_of_stable(&live);
        let gate = gate(model);
        live.look();
        let mut events: Vec<_> = heard.map(|failing| (Happened::StableFailing(failing), JUDGE)).into_iter().collect();
        events.extend(outage.map(|value| (Happened::Outage { start, value }, JUDGE)));
        // While the store is away the clock stands, and nothing is promoted.
        if tools.rollouts.store_error().is_none() {
            events.extend(gate.map(|(step, passed)| (Happened::Gate { start, step, passed }, SCHEDULE)));
            events.push((Happened::Tick { start, executions: live.executions() }, SCHEDULE));
        }
        // What has been decided is heard before the clock is: nothing is promoted that a judge has taken out.
        while let Ok(trip) = self.trips.try_recv() {
            self.tripped(trip).await;
        }
        for (event, who) in events {
            if self.happen(name, &event, who).await.is_err() {
                // The store is away: the clock stands.
                return;
            }
        }
        self.face_facts(name).await;
        self.share(name);
    }

    /// Writes what has changed without a transition.
    async fn write(&mut self, name: &str) -> Result<(), StoreError> {
        if self.store.is_none() {
            return Ok(());
        }
        let store = self.reachable()?;
        self.save_unsaved(name).await?;
        let Some(model) = self.models.get_mut(name) else { return Ok(()) };
        // A store that failed is well again when it has taken something.
        if model.dirty || self.tools.rollouts.store_error().is_some() {
            match patiently(store.touch(name, &model.state)).await? {
                Swap::Done => model.dirty = false,
                Swap::Stale { generation } => tracing::debug!(model = name, generation, "a clock was not stored"),
            }
        }
        // What replicas have counted they tell each other with each tick.
        let row = if self.tools.fleet().is_none() { self.row(name) } else { None };
        if let Some((row, stored)) = row {
            patiently(store.put_evidence(&row)).await?;
            if let Some(work) = self.models.get_mut(name).and_then(|model| model.at_work.as_mut()) {
                work.written = stored;
            }
        }
        if let Some(error) = self.tools.rollouts.store_error() {
            tracing::info!(error, "rollouts are stored again");
        }
        self.tools.rollouts.set_store(Ok(store));
        Ok(())
    }

    /// The row of evidence of a model, where it has changed.
    fn row(&mut self, name: &str) -> Option<(EvidenceRow, Stored)> {
        let (boot, at) = (self.boot.clone(), self.tools.clock.now());
        let model = self.models.get_mut(name)?;
        let work = model.at_work.as_ref()?;
        let stored = work.stored();
        if stored == work.written {
            return None;
        }
        let payload = serde_json::to_value(&stored).ok()?;
        model.sequence += 1;
        let (sequence, rollout) = (model.sequence, work.live.rollout.clone());
        Some((EvidenceRow { model: name.to_owned(), rollout, boot, sequence, at, payload }, stored))
    }

    pub(super) fn lose(&self, error: &StoreError) {
        if self.tools.rollouts.store_error().as_ref() != Some(&error.message) {
            tracing::error!(error = error.message, "the store of rollouts does not answer: nothing is promoted");
        }
        self.tools.rollouts.set_store(Err(error.message.clone()));
    }

    /// Writes everything, at the end.
    pub(super) async fn flush(&mut self) {
        let names: Vec<String> = self.models.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.write(&name).await {
                tracing::error!(model = name, error = error.message, "the last evidence is not stored");
            }
        }
    }

    /// Draws a model's view anew, for people and for metrics.
    pub(super) fn show(&self, name: &str) {
        if let Some(model) = self.models.get(name) {
            let view = view::view(model, &self.tools);
            view::gauge(model, &self.tools);
            self.tools.rollouts.set_view(name, view);
        }
    }

    /// Runs the smoke tests of a canary that is loaded, beside everything else.
    pub(super) fn smoke(&mut self, name: &str) {
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(course) = view::course(&model.state.phase) else { return };
        let digest = course.version.digest.clone();
        let snapshot = self.tools.catalog.load();
        let canary = snapshot.models.get(name).and_then(|entry| entry.canary.as_ref());
        let Some(canary) = canary.filter(|canary| canary.runtime.digest() == digest) else { return };
        let runtime = canary.runtime.clone();
        let file = match &course.plan.smoke_tests {
            SmokeTests::Off => None,
            SmokeTests::Own => Some(runtime.dir().join(smoke::FILE)).filter(|file| file.is_file()),
            SmokeTests::File(path) => Some(PathBuf::from(path)),
        };
        model.smoke.begin(&digest);
        let (events, lifecycle, model) =
            (self.tools.rollouts.0.events.clone(), self.lifecycle.clone(), name.to_owned());
        let patience = model_timeout(&self.models, name);
        self.lifecycle.spawn(async move {
            let result = match file {
                None => Ok(()),
                Some(file) => {
                    let reading = lifecycle.spawn_blocking(move || smoke::read(&file));
                    match reading.await.unwrap_or_else(|error| Err(error.to_string())) {
                        Ok(tests) => smoke::run(&tests, &runtime, patience).await.map(|report| {
                            tracing::info!(model, tests = report.tests, took = ?report.took, "smoke tests passed");
                        }),
                        Err(error) => Err(error),
                    }
                }
            };
            // Nobody listens any more at shutdown.
            let _ = events.send(Event::Smoked { model, digest, result });
        });
    }
}

/// How long one smoke test may take: as long as the model's load.
fn model_timeout(models: &BTreeMap<String, ModelRollout>, name: &str) -> Duration {
    models.get(name).map_or(PATIENCE, |model| model.followed.settings.load_timeout)
}

/// The gate that a rollout stands at, and whether it passes.
fn gate(model: &ModelRollout) -> Option<(usize, bool)> {
    let Phase::Progressing(course) = &model.state.phase else { return None };
    let Some(Step::Gate(step)) = course.plan.steps.get(course.step).filter(|_| course.begun && course.ready) else {
        return None;
    };
    let work = model.at_work.as_ref()?;
    let reports = work.gates.report(&work.live, step, work.weight);
    let passed = reports.len() == step.metrics.len() && reports.iter().all(|report| report.verdict.decided);
    Some((course.step, passed))
}
