//! Rollouts from their first event to their last.

use perch_router::{
    policy::Occasion,
    rollout::{Alias, Command, Effect, Event, Phase, Reason, Rules},
    weight::Weight,
};

use crate::{Story, rules, version};

const STEPS: &str = "strategy: {canary: {steps: [setWeight: 10, pause: {duration: 5m, minExecutions: 329}, \
    gate: {metrics: [errors]}, setWeight: 50, pause: {}, setWeight: 100, pause: {duration: 1m}, promote: {}]}}";

fn aliases(effects: &[Effect]) -> Vec<(Alias, u32)> {
    let alias = |effect: &Effect| match effect {
        Effect::SetAlias(alias, version) => Some((*alias, version.name.parse().unwrap())),
        _ => None,
    };
    effects.iter().filter_map(alias).collect()
}

fn told(effects: &[Effect]) -> Vec<Occasion> {
    let occasion = |effect: &Effect| match effect {
        Effect::Notify(occasion, _) => Some(*occasion),
        _ => None,
    };
    effects.iter().filter_map(occasion).collect()
}

#[test]
fn aliases_that_are_somebody_elses_stay() {
    let rules = Rules { moves_aliases: false, ..rules("strategy: {canary: {steps: [setWeight: 100]}}") };
    let mut story = Story::new(rules);
    let moves = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::SetAlias(..) | Effect::ClearCanary));
    let mut effects = story.tell(Event::CanaryAppeared(version(2)));
    effects.extend(story.tell(Event::CanaryReady(version(2).digest)));
    assert!(told(&effects).contains(&Occasion::Promoted), "{effects:?}");
    assert!(matches!(story.state.phase, Phase::Promoted { moved: false, .. }), "{:?}", story.state.phase);
    effects.extend(story.wait(3600, 0));
    assert_eq!(story.shown(), ("promoted", "100".to_owned()), "until somebody moves stable");
    effects.extend(story.tell(Event::StableMoved(version(2))));
    effects.extend(story.wait(1, 0));
    assert!(effects.contains(&Effect::Retire(Some(version(1)))), "{effects:?}");
    assert_eq!(story.shown(), ("idle", "0".to_owned()));
    // The alias `canary` is theirs, too.
    effects.extend(story.tell(Event::CanaryRemoved));
    effects.extend(story.tell(Event::CanaryAppeared(version(3))));
    effects.extend(story.tell(Event::CanaryReady(version(3).digest)));
    effects.extend(story.breach());
    assert_eq!(story.shown().0, "demoted");
    assert!(!moves(&effects), "{effects:?}");
}

#[test]
fn a_good_canary_comes_to_all_traffic() {
    let mut story = Story::new(rules(STEPS));
    story.tell(Event::CanaryAppeared(version(2)));
    assert_eq!(story.shown(), ("progressing", "0".to_owned()), "not before it is loaded and warm");
    assert_eq!(story.state.rollout_id("fraud").unwrap(), "fraud/sha256:2/1");
    let effects = story.tell(Event::CanaryReady(version(2).digest));
    assert_eq!(effects[0], Effect::SetWeight(Weight::from_percent(10.0).unwrap()));
    assert_eq!(told(&effects), [Occasion::Started]);
    assert_eq!(story.serve(299), []);
    assert_eq!(story.gate(2, true), [], "not at that step yet");
    story.serve(2);
    assert_eq!(story.gate(2, false), [], "it goes on");
    story.gate(2, true);
    assert_eq!(story.shown(), ("paused", "50".to_owned()));
    assert_eq!(story.serve(3600), [], "until somebody resumes");
    story.say(Command::Resume);
    assert_eq!(story.shown(), ("progressing", "100".to_owned()));
    let effects = story.serve(60);
    assert_eq!(aliases(&effects), [(Alias::Previous, 1), (Alias::Stable, 2)], "previous first");
    assert!(effects.contains(&Effect::ClearCanary));
    assert_eq!(story.shown(), ("promoted", "100".to_owned()));
    story.tell(Event::StableMoved(version(2)));
    story.tell(Event::CanaryRemoved);
    assert_eq!(story.shown(), ("promoted", "100".to_owned()), "these are our own doing");
    let effects = story.wait(600, 0);
    assert!(effects.contains(&Effect::Retire(Some(version(1)))));
    assert_eq!(story.shown(), ("idle", "0".to_owned()));
    assert_eq!(story.breach(), [], "after that, nothing");
}

#[test]
fn the_clock_of_a_step_runs_while_evidence_arrives() {
    let mut story = Story::started(rules(STEPS));
    story.serve(100);
    story.wait(3600, 0);
    story.serve(100);
    assert_eq!(story.shown().1, "10");
    let Phase::Progressing(course) = &story.state.phase else { panic!() };
    assert!((course.spent - 259.0).abs() < 2.0, "{}: a minute more than the 200 s with executions", course.spent);
    // The store was away: one tick counts for five seconds at most.
    story.now += 10_000.0;
    story.serve(1);
    let Phase::Progressing(course) = &story.state.phase else { panic!() };
    assert!((course.spent - 264.0).abs() < 2.0, "{}", course.spent);
    // Too few executions: the step is not over.
    let mut story = Story::started(rules(STEPS));
    story.wait(320, 1);
    assert_eq!(story.state.phase.name(), "progressing");
    assert!(!story.wait(10, 1).is_empty());
}

#[test]
fn a_bad_canary_is_out_at_once_and_stays_out() {
    let mut story = Story::started(rules(STEPS));
    story.serve(3);
    let effects = story.breach();
    assert_eq!(effects[0], Effect::SetWeight(Weight::ZERO));
    let until = story.now + 24.0 * 3600.0;
    assert!(effects.contains(&Effect::Quarantine(version(2).digest, until)));
    assert!(effects.iter().any(
        |effect| matches!(effect, Effect::Tag { state: "demoted", reason, .. } if reason == "errors: 0.2 is above 0.01")
    ));
    assert_eq!((told(&effects), aliases(&effects)), (vec![Occasion::Demoted], vec![]));
    assert_eq!(story.tell(Event::CanaryAppeared(version(2))), [], "the alias is still there");
    let refused = story.try_to_tell(&Event::Command(Command::Start)).unwrap_err();
    assert_eq!(refused.to_string(), "version 2 is in quarantine for 24.0 h: force it");
    story.tell(Event::CanaryRemoved);
    story.tell(Event::CanaryAppeared(version(2)));
    assert_eq!(story.state.phase.name(), "demoted");
    assert_eq!(story.breach(), []);
    story.say(Command::Retry { force: true });
    assert_eq!((story.state.phase.name(), story.state.starts), ("progressing", 2));
    let late = Event::Veto { start: 1, digest: version(2).digest, why: "late".to_owned() };
    assert_eq!(story.tell(late), [], "a veto of the rollout before");
    story.tell(Event::Veto { start: 2, digest: version(2).digest, why: "seen elsewhere".to_owned() });
    assert_eq!(story.state.phase.name(), "demoted");
    story.now += 25.0 * 3600.0;
    story.say(Command::Start);
    assert_eq!(story.state.phase.name(), "progressing");
}

#[test]
fn a_breach_after_promotion_goes_back() {
    let mut story = Story::started(rules(STEPS));
    story.say(Command::PromoteFull);
    story.tell(Event::StableMoved(version(2)));
    story.wait(30, 0);
    let effects = story.breach();
    assert_eq!(effects[0], Effect::SetWeight(Weight::ZERO));
    assert_eq!(aliases(&effects), [(Alias::Stable, 1)]);
    assert_eq!(story.state.phase.name(), "demoted");
    story.tell(Event::StableMoved(version(1)));
    assert_eq!(story.state.stable, Some(version(1)));
}

#[test]
fn stable_that_fails_as_well_suspends() {
    let mut story = Story::started(rules(STEPS));
    story.say(Command::Pause);
    story.tell(Event::StableFailing(true));
    assert_eq!(story.shown(), ("paused", "10".to_owned()), "alone it is no reason: the canary may be its cure");
    let effects = story.breach();
    assert_eq!((told(&effects), story.shown()), (vec![Occasion::Suspended], ("suspended", "0".to_owned())));
    assert!(story.state.quarantine.is_empty());
    assert_eq!(story.breach(), []);
    story.wait(100, 0);
    story.tell(Event::StableFailing(false));
    assert_eq!(story.wait(59, 0), []);
    let effects = story.wait(1, 0);
    assert!(effects.contains(&Effect::FreshEvidence(2)));
    assert_eq!(story.shown(), ("paused", "10".to_owned()), "paused by hand it was, and is");
    story.breach();
    assert_eq!(story.state.phase.name(), "demoted", "stable is well");
    let mut story = Story::started(rules(STEPS));
    story.tell(Event::StableFailing(true));
    story.breach();
    story.say(Command::Resume);
    assert_eq!(story.shown(), ("progressing", "10".to_owned()));
    let mut story = Story::started(rules("analysis: {onStableFailing: demote}"));
    story.tell(Event::StableFailing(true));
    story.breach();
    assert_eq!(story.state.phase.name(), "demoted");
}

#[test]
fn aliases_moved_by_others_abort() {
    for (event, reason) in [
        (Event::StableMoved(version(3)), Reason::StableMoved),
        (Event::CanaryRemoved, Reason::CanaryRemoved),
        (Event::Command(Command::Abort), Reason::Operator),
    ] {
        let mut story = Story::started(rules(STEPS));
        let effects = story.tell(event.clone());
        assert_eq!((effects[0].clone(), told(&effects)), (Effect::SetWeight(Weight::ZERO), vec![Occasion::Aborted]));
        assert!(matches!(&story.state.phase, Phase::Aborted { reason: found, .. } if *found == reason));
        assert!(aliases(&effects).is_empty() && story.state.quarantine.is_empty());
        assert_eq!(story.tell(event), [], "once");
    }
    // Promoted by hand in the registry: there is nothing left to try.
    let mut story = Story::started(rules(STEPS));
    let effects = story.tell(Event::StableMoved(version(2)));
    assert!(effects.contains(&Effect::ClearCanary) && effects.contains(&Effect::Retire(Some(version(1)))));
    assert_eq!(story.state.phase, Phase::Idle);
}

#[test]
fn canary_that_is_stable_finishes_a_promotion() {
    let mut story = Story::new(rules(STEPS));
    let effects = story.tell(Event::CanaryAppeared(version(1)));
    assert!(effects.contains(&Effect::ClearCanary));
    assert_eq!(story.state.phase, Phase::Idle);
    assert!(story.try_to_tell(&Event::Command(Command::Start)).is_err());
}

#[test]
fn a_new_canary_starts_afresh() {
    let mut story = Story::started(rules(STEPS));
    let effects = story.tell(Event::CanaryAppeared(version(3)));
    assert_eq!((told(&effects), story.shown()), (vec![Occasion::Aborted], ("progressing", "0".to_owned())));
    assert!(effects.contains(&Effect::FreshEvidence(2)));
    assert_eq!(story.tell(Event::CanaryReady(version(2).digest)), [], "the one before");
    // While the last one is watched, the next one waits.
    story.tell(Event::CanaryReady(version(3).digest));
    story.say(Command::PromoteFull);
    story.tell(Event::StableMoved(version(3)));
    story.tell(Event::CanaryAppeared(version(4)));
    assert_eq!(story.state.phase.name(), "promoted");
    story.wait(601, 0);
    assert_eq!(story.state.trying(), Some(&version(4)));
}

#[test]
fn gates_without_an_answer() {
    let steps = |on: &str| {
        let gate = format!("gate: {{metrics: [errors], onInconclusive: {on}, maxExtend: 1m}}");
        rules(&format!(
            "strategy: {{canary: {{steps: [setWeight: 10, {gate}, setWeight: 50, pause: {{duration: 1m}}]}}}}"
        ))
    };
    let mut story = Story::started(steps("extend"));
    assert_eq!((story.wait(59, 0), story.gate(1, false)), (vec![], vec![]));
    story.wait(1, 0);
    assert_eq!(told(&story.gate(1, false)), [Occasion::Inconclusive]);
    assert_eq!(story.shown(), ("paused", "10".to_owned()));
    story.say(Command::Resume);
    assert_eq!(story.gate(1, false), [], "it waits again");
    story.say(Command::Promote);
    assert_eq!(story.shown(), ("progressing", "50".to_owned()));
    let mut story = Story::started(steps("pause"));
    assert_eq!(told(&story.gate(1, false)), [Occasion::Inconclusive]);
    let mut story = Story::started(steps("abort"));
    assert_eq!(told(&story.gate(1, false)), [Occasion::Aborted]);
}

#[test]
fn weights_by_hand_hold_the_rollout() {
    let mut story = Story::new(rules(STEPS));
    story.tell(Event::CanaryAppeared(version(2)));
    let weight = Command::SetWeight(Weight::from_percent(33.33).unwrap());
    let refused = story.try_to_tell(&Event::Command(weight)).unwrap_err();
    assert_eq!(refused.to_string(), "cannot promote or weigh: version 2 is not ready yet");
    story.say(Command::Pause);
    story.tell(Event::CanaryReady(version(2).digest));
    assert_eq!(story.shown(), ("paused", "0".to_owned()));
    story.say(Command::Resume);
    story.say(weight);
    assert_eq!(story.shown(), ("paused", "33.33".to_owned()));
    assert_eq!(story.serve(400), []);
    story.say(Command::Resume);
    assert_eq!(story.shown(), ("progressing", "33.33".to_owned()));
}

#[test]
fn an_unfit_canary_never_has_weight() {
    let mut story = Story::new(rules("strategy: {blueGreen: {}}"));
    story.tell(Event::CanaryAppeared(version(2)));
    story.tell(Event::CanaryUnfit(version(2).digest, "smoke test 1: wrong shape".to_owned()));
    assert_eq!(story.shown(), ("demoted", "0".to_owned()));
}

#[test]
fn without_the_alias_a_promotion_waits_for_others() {
    let mut story = Story::started(rules("strategy: {canary: {steps: [setWeight: 10, promote: {moveAlias: false}]}}"));
    assert_eq!(story.shown(), ("promoted", "100".to_owned()));
    assert_eq!(story.wait(7200, 10), [], "stable is still the old one for everybody else");
    story.tell(Event::StableMoved(version(2)));
    assert!(story.wait(1, 10).contains(&Effect::Retire(Some(version(1)))));
    assert_eq!(story.state.phase, Phase::Idle);
}
