//! What is so in the registry and in memory, and the rollout does not know yet.

use perch_router::rollout::{Event as Happened, PausedBy, Phase};

use super::Driver;
use super::hear::REGISTRY;
use super::share::{is_ready, unfit};
use crate::rollouts::handle::{Seen, SeenCanary};
use crate::rollouts::model::ModelRollout;
use crate::rollouts::view;

/// Of two replicas that ask the registry so soon after each other it is not known which was first, in seconds.
const AT_ONCE: f64 = 0.25;

enum Fact {
    Happened(Happened),
    /// Its smoke tests are to be run.
    Smoke,
}

/// What one replica of several has to ask itself before it tells what it sees.
#[derive(Clone, Copy)]
struct Fleet {
    /// Whether another one has read the registry later.
    is_late: bool,
    /// Whether others have to be waited for.
    waits: bool,
    /// Whether others can load what this one cannot.
    others_can: bool,
}

impl Driver {
    /// Tells the machine what is so in the registry and in memory, until it has taken it.
    pub(super) async fn face_facts(&mut self, name: &str) {
        if self.store.is_none() {
            return;
        }
        // One fact may bring about the next; a few rounds are enough for all.
        for _ in 0..8 {
            let fleet = self.fleet_of(name);
            let Some(model) = self.models.get_mut(name) else { return };
            let Some(fact) = next_fact(model, fleet) else { break };
            match fact {
                Fact::Smoke => {
                    self.smoke(name);
                    return;
                }
                Fact::Happened(event) => {
                    let generation = model.state.generation;
                    let told = self.happen(name, &event, REGISTRY).await;
                    if let (Ok(()), Happened::ReplicaUnfit(digest, _), Some(model)) =
                        (&told, &event, self.models.get_mut(name))
                    {
                        // Told once: whoever resumes knows.
                        model.told_unfit = Some(digest.clone());
                    }
                    let unchanged = self.models.get(name).is_none_or(|model| model.state.generation == generation);
                    if told.is_err() || unchanged {
                        return;
                    }
                }
            }
        }
    }

    fn fleet_of(&self, name: &str) -> Option<Fleet> {
        let (fleet, model) = (self.tools.fleet()?, self.models.get(name)?);
        let now = self.tools.clock.now();
        let at_work = model.at_work.is_some() && model.needs_evidence().is_none();
        let rules = &model.policy().fleet;
        let (living, ready) = fleet.readiness(name, is_ready(model));
        let few = ready * 100 < usize::try_from(rules.min_ready).unwrap_or(100) * living;
        let waited = view::course(&model.state.phase).map_or(0.0, |course| now - course.entered);
        Some(Fleet {
            is_late: self.is_late(model, now),
            waits: !at_work || (few && waited < rules.ready_within.as_secs()),
            others_can: fleet.others_can(name),
        })
    }

    /// Whether another replica has told what it read in the registry later than this one has read it.
    fn is_late(&self, model: &ModelRollout, now: f64) -> bool {
        let known = model.state.seen_at;
        // A clock that was set back is no reason to see nothing for as long.
        if known > now + AT_ONCE {
            return false;
        }
        let Some(at) = model.seen.as_ref().and_then(|seen| seen.at) else { return known > 0.0 };
        let told_here = model.told.is_some_and(|(then, told)| told.to_bits() == known.to_bits() && at >= then);
        !told_here && self.tools.clock.at(at) < known + AT_ONCE
    }
}

/// What the machine does not know yet.
fn next_fact(model: &ModelRollout, fleet: Option<Fleet>) -> Option<Fact> {
    let Seen { stable, canary, .. } = model.seen.as_ref()?;
    let state = &model.state;
    let happened = |event: Happened| Some(Fact::Happened(event));
    if fleet.is_none_or(|fleet| !fleet.is_late) {
        if let Some(stable) = stable.as_ref().filter(|stable| state.stable.as_ref() != Some(*stable)) {
            return happened(Happened::StableMoved(stable.clone()));
        }
        match canary {
            SeenCanary::None if state.canary.is_some() => return happened(Happened::CanaryRemoved),
            SeenCanary::Known(version) | SeenCanary::Ready(version) | SeenCanary::Unfit(version, _)
                if state.canary.as_ref() != Some(version) =>
            {
                return happened(Happened::CanaryAppeared(version.clone()));
            }
            _ => {}
        }
    }
    let version = match canary {
        SeenCanary::None | SeenCanary::Unknown => return None,
        SeenCanary::Known(version) | SeenCanary::Ready(version) | SeenCanary::Unfit(version, _) => version,
    };
    let course = view::course(&state.phase).filter(|course| course.version.digest == version.digest)?;
    let digest = version.digest.clone();
    let untested = !course.plan.smoke_tests.is_off() && !model.smoke.is_of(&digest);
    if matches!(canary, SeenCanary::Ready(_)) && untested && (fleet.is_some() || !course.ready) {
        return Some(Fact::Smoke);
    }
    if let Some(why) = unfit(model) {
        let untold = model.told_unfit.as_ref() != Some(&digest);
        return match fleet.is_some_and(|fleet| fleet.others_can) {
            true if untold => happened(Happened::ReplicaUnfit(digest, why)),
            false if !course.ready => happened(Happened::CanaryUnfit(digest, why)),
            _ => None,
        };
    }
    // What waits for a replica that cannot load it waits for somebody.
    let held = matches!(state.phase, Phase::Paused { by: PausedBy::Unfit, .. });
    let may_begin = !course.ready && is_ready(model) && (held || fleet.is_none_or(|fleet| !fleet.waits));
    if may_begin { happened(Happened::CanaryReady(digest)) } else { None }
}
