//! Which event is whose.

use std::fmt;

use super::{Command, Event, Phase, Reason, State, change::Change, effect::Effect};
use crate::policy::{OnStableFailing, Plan, RolloutPolicy};

/// How long stable has to be well before a suspended rollout goes on, in seconds.
const WELL: f64 = 60.0;

/// What a policy says about the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The steps of a rollout that starts.
    pub plan: Plan,
    /// How long a demoted version is not tried, in seconds.
    pub quarantine: f64,
    /// What a breach means while stable fails as well.
    pub on_stable_failing: OnStableFailing,
    /// Whether a promotion may move the registry's aliases. Where it may not, somebody else moves them.
    pub moves_aliases: bool,
}

impl Rules {
    /// Those of a policy, in a registry whose aliases may be moved.
    #[must_use]
    pub fn of(policy: &RolloutPolicy) -> Self {
        Self {
            plan: policy.strategy.plan(),
            quarantine: policy.abort.quarantine.as_secs(),
            on_stable_failing: policy.analysis.on_stable_failing,
            moves_aliases: true,
        }
    }
}

/// A command that cannot be followed; why. The state is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The state after `event` at `now` (seconds), and what is to be done. Only commands are refused; events that mean
/// nothing in this state change nothing.
pub fn step(state: &State, rules: &Rules, event: &Event, now: f64) -> Result<(State, Vec<Effect>), Refused> {
    let mut change = Change::new(state, rules, now);
    match event {
        Event::CanaryAppeared(version) => change.canary_appeared(version),
        Event::CanaryReady(digest) => change.canary_ready(digest),
        Event::CanaryUnfit(digest, why) => change.demote_digest(digest, Reason::Unfit(why.clone())),
        Event::ReplicaUnfit(digest, why) => change.replica_unfit(digest, why),
        Event::CanaryRemoved => change.canary_removed(),
        Event::StableMoved(version) => change.stable_moved(version),
        Event::StableFailing(failing) => change.stable_failing(*failing),
        Event::Judged { start, metric, verdict } if *start == state.starts && verdict.decided => {
            let reason = Reason::Breach { metric: metric.clone(), value: verdict.value, limit: verdict.limit };
            change.breached(reason);
        }
        Event::Veto { start, digest, why } if *start == state.starts => {
            change.demote_digest(digest, Reason::Veto(why.clone()));
        }
        Event::Outage { start, value } if *start == state.starts => change.outage(*value),
        Event::Judged { .. } | Event::Veto { .. } | Event::Outage { .. } => {}
        Event::Gate { start, step, passed } => change.gate(*start, *step, *passed),
        Event::Tick { start, executions } => change.tick(*start, *executions),
        Event::Command(command) => change.command(*command)?,
    }
    Ok(change.done())
}

impl Change<'_> {
    fn command(&mut self, command: Command) -> Result<(), Refused> {
        match command {
            Command::Start => self.retry(false),
            Command::Retry { force } => self.retry(force),
            Command::Promote => self.skip(),
            Command::PromoteFull => self.promote_full(),
            Command::Pause => self.pause(),
            Command::Resume => self.resume(),
            Command::SetWeight(weight) => self.set_weight(weight),
            Command::Abort => {
                self.abort(Reason::Operator);
                Ok(())
            }
        }
    }

    /// A metric passed its limit. Where stable does so too, it may not be the canary's fault.
    fn breached(&mut self, reason: Reason) {
        let suspends = self.state.stable_failing && self.rules.on_stable_failing == OnStableFailing::Suspend;
        match &self.state.phase {
            Phase::Suspended { .. } if suspends => {}
            Phase::Progressing(_) | Phase::Paused { .. } if suspends => self.suspend(&reason),
            _ => self.demote(reason),
        }
    }

    /// Canary and stable fail together: the canary is not to blame, and not to be tried on until that is over.
    fn outage(&mut self, value: f64) {
        let suspends = self.state.stable_failing && self.rules.on_stable_failing == OnStableFailing::Suspend;
        if suspends && matches!(self.state.phase, Phase::Progressing(_) | Phase::Paused { .. }) {
            self.suspend(&Reason::Outage { value });
        }
    }

    fn stable_failing(&mut self, failing: bool) {
        if self.state.stable_failing != failing {
            self.state.stable_failing = failing;
            self.state.stable_since = self.now;
            self.note(if failing { "stable passes its limit" } else { "stable is under its limit again" });
        }
    }

    fn tick(&mut self, start: u64, executions: u64) {
        match &self.state.phase {
            Phase::Progressing(_) => self.tick_course(start, executions),
            Phase::Suspended { paused, .. }
                if !self.state.stable_failing && self.now - self.state.stable_since >= WELL =>
            {
                let paused = *paused;
                self.unsuspend(paused, "stable has been well for a minute");
            }
            Phase::Promoted { .. } => self.settle(),
            _ => {}
        }
    }
}
