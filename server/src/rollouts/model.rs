//! One model's rollout in this process: its state, and what requests see of it.

use std::sync::Arc;
use std::time::Instant;

use perch_router::policy::RolloutPolicy;
use perch_router::rollout::{Event, Phase, Rules, State};
use perch_router::weight::Weight;
use perch_store::{Audit, Transition};

use super::driver::{Start, Tools};
use super::handle::{Followed, Rollouts, Seen};
use super::live::{Gates, Live, Plan, Stored};
use super::route::Route;
use super::smoke::Smoked;
use super::view::{self, Numbers};
use super::vitals::Vitals;
use super::wish::Wish;
use crate::config::Rollout;

/// One model's rollout.
pub(super) struct ModelRollout {
    pub(super) followed: Followed,
    pub(super) rollout: Arc<Rollout>,
    pub(super) rules: Rules,
    pub(super) state: State,
    /// Whether the state has changed in what needs no generation.
    pub(super) dirty: bool,
    /// What could not be stored yet: this process went on without.
    pub(super) unsaved: Vec<Unsaved>,
    pub(super) seen: Option<Seen>,
    /// When the registry was read that this process told of last, here and as it was stored.
    pub(super) told: Option<(Instant, f64)>,
    /// The canary of which the other replicas were told that it cannot be loaded here.
    pub(super) told_unfit: Option<String>,
    /// What happened last, and who did it.
    pub(super) last_change: Option<Audit>,
    pub(super) route: Arc<Route>,
    pub(super) at_work: Option<AtWork>,
    /// What requests find.
    routed: Option<Arc<Live>>,
    /// What was counted of what was tried last.
    pub(super) last: Option<Numbers>,
    /// Smoke tests of the canary.
    pub(super) smoke: Smoked,
    /// Evidence was written so often.
    pub(super) sequence: u64,
}

/// What happened while the store was away.
#[derive(Clone)]
pub(super) struct Unsaved {
    pub(super) transition: Transition,
    pub(super) event: Event,
    pub(super) who: String,
}

/// What is tried, while it is.
pub(super) struct AtWork {
    pub(super) live: Arc<Live>,
    pub(super) gates: Gates,
    pub(super) vitals: Vitals,
    /// The weight that gates count since.
    pub(super) weight: Weight,
    /// What was last written of its evidence.
    pub(super) written: Stored,
}

impl AtWork {
    fn new(live: Arc<Live>, stored: &Stored) -> Self {
        let gates = Gates::new(&live, &stored.gates);
        Self { live, gates, vitals: Vitals::default(), weight: stored.weight, written: Stored::default() }
    }

    /// What is to be written of its evidence.
    pub(super) fn stored(&self) -> Stored {
        Stored { gates: self.gates.stored(&self.live), weight: self.weight, ..self.live.stored() }
    }
}

impl ModelRollout {
    pub(super) fn new(followed: Followed, rollouts: &Rollouts) -> Self {
        let rollout = followed.settings.rollout.clone();
        let route = rollouts.route(&followed.settings.name);
        let rules = Rules { moves_aliases: super::effects::moves_aliases(&followed), ..Rules::of(&rollout.policy) };
        Self {
            followed,
            rollout,
            rules,
            state: State::default(),
            dirty: false,
            unsaved: Vec::new(),
            seen: None,
            told: None,
            told_unfit: None,
            last_change: None,
            route,
            at_work: None,
            routed: None,
            last: None,
            smoke: Smoked::default(),
            sequence: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.followed.settings.name
    }

    /// The policy that the rollout is judged by: while it is at work, the one that all replicas have for it.
    pub(super) fn policy(&self) -> &RolloutPolicy {
        self.at_work.as_ref().map_or(&self.rollout.policy, |work| &work.live.policy)
    }

    /// The id of the rollout that is under way.
    pub(super) fn rollout_id(&self) -> Option<String> {
        self.state.rollout_id(self.name())
    }

    /// Whether what is at work is another rollout than the state's.
    pub(super) fn needs_evidence(&self) -> Option<String> {
        let id = self.rollout_id()?;
        self.at_work.as_ref().is_none_or(|work| work.live.rollout != id).then_some(id)
    }

    /// Lets requests and loads be as the state says. `start`: what a rollout begins with that is not at work yet; without it
    /// it does not.
    pub(super) fn apply(&mut self, tools: &Tools, start: Option<&Start>) {
        let name = self.name().to_owned();
        tools.rollouts.set_wish(&name, Wish::of(&self.state, tools.clock.now()));
        let needed = self.needs_evidence();
        match (needed, self.state.trying(), start) {
            (Some(rollout), Some(version), Some(Start { stored, seat })) => {
                let own = || Arc::new(self.rollout.policy.clone());
                let plan = Plan {
                    model: name,
                    rollout,
                    start: self.state.starts,
                    digest: version.digest.clone(),
                    policy: seat.as_ref().map_or_else(own, |(_, policy)| policy.clone()),
                    timeout: tools.timeout,
                    slots: tools.slots,
                    stored: stored.clone(),
                    seat: seat.as_ref().map(|(seat, _)| seat.clone()),
                    trips: tools.trips.clone(),
                    clock: tools.clock.own(),
                };
                let live = Live::new(plan);
                // What follows a breach is the rollout's, too; the steps of the next one are this replica's.
                let Rules { quarantine, on_stable_failing, .. } = Rules::of(&live.policy);
                (self.rules.quarantine, self.rules.on_stable_failing) = (quarantine, on_stable_failing);
                self.at_work = Some(AtWork::new(live, stored));
                self.weigh(tools.slots);
            }
            (None, Some(_), _) => self.weigh(tools.slots),
            _ => self.leave(tools),
        }
    }

    /// Gives the canary its weight, for requests on so many threads.
    fn weigh(&mut self, threads: usize) {
        let weight = self.state.weight();
        let open = matches!(&self.state.phase, Phase::Progressing(course) | Phase::Paused { course, .. } if course.ready)
            || matches!(self.state.phase, Phase::Promoted { .. });
        // Others may have tested it; here it has to be tested here.
        let tests = view::course(&self.state.phase).map(|course| &course.plan.smoke_tests);
        let tested = |digest: &str| matches!(self.smoke.of(digest), Some(Ok(())));
        let Some(work) = &mut self.at_work else { return };
        let untested =
            work.live.together().is_some() && tests.is_some_and(|tests| !tests.is_off()) && !tested(&work.live.digest);
        if weight != work.weight && weight > Weight::ZERO {
            work.weight = weight;
            work.gates.begin(&work.live);
        }
        // What a judge has decided stands, until the state has heard of it.
        if !work.live.has_tripped() {
            let (weight, open) = if untested { (Weight::ZERO, false) } else { (weight, open) };
            work.live.set_weight(weight, open);
        }
        if !self.routed.as_ref().is_some_and(|routed| Arc::ptr_eq(routed, &work.live)) {
            self.route.set(Some(&work.live), threads);
            self.routed = Some(work.live.clone());
        }
    }

    /// Nothing is tried any more. What was promoted goes on taking its requests until it serves as stable: the old
    /// version shall not flicker up in between.
    pub(super) fn leave(&mut self, tools: &Tools) {
        let Some(work) = &self.at_work else { return };
        let snapshot = tools.catalog.load();
        let entry = snapshot.models.get(self.name());
        let is_stable = self.state.stable.as_ref().is_some_and(|stable| stable.digest == work.live.digest);
        let serves = |served: &Arc<crate::catalog::Served>| served.runtime.digest() == work.live.digest;
        let arrived = entry.and_then(|entry| entry.stable.as_ref()).is_some_and(serves);
        let still_canary = entry.and_then(|entry| entry.canary.as_ref()).is_some_and(serves);
        if !is_stable || arrived || !still_canary {
            self.last = Some(Numbers::of(self, work));
            view::gauge(self, tools);
            self.route.set(None, 0);
            self.routed = None;
            self.at_work = None;
        }
    }
}
