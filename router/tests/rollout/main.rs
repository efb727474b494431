//! Rollouts from their first event to their last, and what holds in all of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod properties;
mod stories;

use perch_router::{
    judge::Verdict,
    policy::{OnStableFailing, RolloutPolicy},
    rollout::{Command, Effect, Event, Refused, Rules, State, Version, step},
};

/// A rollout and its clock.
struct Story {
    state: State,
    rules: Rules,
    now: f64,
    executions: u64,
}

fn version(name: u32) -> Version {
    Version { name: name.to_string(), digest: format!("sha256:{name}") }
}

fn rules(yaml: &str) -> Rules {
    let policy: RolloutPolicy = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(policy.problems(), []);
    Rules::of(&policy)
}

impl Story {
    /// With version 1 as stable and nothing to try.
    fn new(rules: Rules) -> Self {
        let mut story = Self { state: State::default(), rules, now: 1000.0, executions: 0 };
        story.tell(Event::StableMoved(version(1)));
        story
    }

    /// Version 2 is tried.
    fn started(rules: Rules) -> Self {
        let mut story = Self::new(rules);
        story.tell(Event::CanaryAppeared(version(2)));
        story.tell(Event::CanaryReady(version(2).digest));
        story
    }

    fn try_to_tell(&mut self, event: &Event) -> Result<Vec<Effect>, Refused> {
        let (state, effects) = step(&self.state, &self.rules, event, self.now)?;
        self.state = state;
        Ok(effects)
    }

    #[expect(clippy::needless_pass_by_value, reason = "events are made for this")]
    fn tell(&mut self, event: Event) -> Vec<Effect> {
        self.try_to_tell(&event).unwrap()
    }

    fn say(&mut self, command: Command) -> Vec<Effect> {
        self.tell(Event::Command(command))
    }

    /// So many seconds with ten executions a second, ticking each second; the effects on the way.
    fn serve(&mut self, seconds: u32) -> Vec<Effect> {
        self.wait(seconds, 10)
    }

    fn wait(&mut self, seconds: u32, each: u64) -> Vec<Effect> {
        (0..seconds)
            .flat_map(|_| {
                self.now += 1.0;
                self.executions += each;
                self.tell(Event::Tick { start: self.state.starts, executions: self.executions })
            })
            .collect()
    }

    fn gate(&mut self, step: usize, passed: bool) -> Vec<Effect> {
        self.tell(Event::Gate { start: self.state.starts, step, passed })
    }

    fn breach(&mut self) -> Vec<Effect> {
        self.tell(breach(self.state.starts))
    }

    fn shown(&self) -> (&'static str, String) {
        (self.state.phase.name(), self.state.weight().to_string())
    }
}

fn breach(start: u64) -> Event {
    let verdict = Verdict { value: 0.2, limit: 0.01, evidence: 8.0, enough: 7.0, n: 50, bad: 10, decided: true };
    Event::Judged { start, metric: "errors".to_owned(), verdict }
}

#[test]
fn rules_are_those_of_the_policy() {
    let rules = rules("{abort: {quarantine: 2h}, analysis: {onStableFailing: demote}}");
    assert_eq!((rules.quarantine.to_bits(), rules.on_stable_failing), (7200.0_f64.to_bits(), OnStableFailing::Demote));
}
