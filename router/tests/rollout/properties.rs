//! What holds in all rollouts, whatever happens.

use perch_router::{
    rollout::{Alias, Command, Effect, Event, Phase, State},
    weight::Weight,
};
use proptest::prelude::*;

use crate::{Story, breach, rules, version};

const PLANS: [&str; 4] = [
    "{}",
    "strategy: {canary: {steps: [setWeight: 10, pause: {duration: 3s}, gate: {metrics: [errors], maxExtend: 5s}, setWeight: 50, pause: {}], scaleDownDelay: 20s}}",
    "strategy: {canary: {steps: [setWeight: 5, gate: {metrics: [errors], onInconclusive: abort}, setWeight: 100, promote: {moveAlias: false}]}}",
    "{strategy: {blueGreen: {autoPromote: false, watch: 2s, scaleDownDelay: 1s}}, abort: {quarantine: 30s}}",
];

/// Something that may happen: anything at all, or what fits the rollout as it stands.
#[derive(Debug, Clone)]
enum Happening {
    Anything(Event),
    Ready,
    Arrived,
    Breach,
    Gate(bool),
    Executions,
}

impl Happening {
    fn event(self, story: &mut Story) -> Event {
        let (start, tried) = (story.state.starts, story.state.trying().cloned().unwrap_or_else(|| version(2)));
        match self {
            Self::Anything(event) => event,
            Self::Ready => Event::CanaryReady(tried.digest),
            // Where a promotion is on its way, it arrives.
            Self::Arrived if matches!(story.state.phase, Phase::Promoted { .. }) => Event::StableMoved(tried),
            Self::Arrived => Event::StableMoved(story.state.stable.clone().unwrap_or_else(|| version(1))),
            Self::Breach => breach(start),
            Self::Gate(passed) => {
                let step = match &story.state.phase {
                    Phase::Progressing(course) => course.step,
                    _ => 0,
                };
                Event::Gate { start, step, passed }
            }
            Self::Executions => {
                story.executions += 100;
                Event::Tick { start, executions: story.executions }
            }
        }
    }
}

fn happenings() -> impl Strategy<Value = Vec<(u32, Happening)>> {
    let fitting = prop_oneof![
        4 => Just(Happening::Ready),
        3 => Just(Happening::Arrived),
        1 => Just(Happening::Breach),
        4 => any::<bool>().prop_map(Happening::Gate),
        8 => Just(Happening::Executions),
    ];
    let seconds = prop_oneof![8 => 0..8_u32, 1 => 0..100_u32];
    proptest::collection::vec((seconds, prop_oneof![3 => fitting, 1 => events().prop_map(Happening::Anything)]), 0..100)
}

fn events() -> impl Strategy<Value = Event> {
    let name = 1..4_u32;
    prop_oneof![
        6 => name.clone().prop_map(|name| Event::CanaryAppeared(version(name))),
        1 => name.clone().prop_map(|name| Event::CanaryReady(version(name).digest)),
        1 => name.clone().prop_map(|name| Event::CanaryUnfit(version(name).digest, "unfit".to_owned())),
        1 => Just(Event::CanaryRemoved),
        1 => name.clone().prop_map(|name| Event::StableMoved(version(name))),
        2 => any::<bool>().prop_map(Event::StableFailing),
        2 => (0..4_u64).prop_map(breach),
        1 => (0..4_u64, name).prop_map(|(start, name)| {
            Event::Veto { start, digest: version(name).digest, why: "veto".to_owned() }
        }),
        4 => (0..4_u64, 0..6_usize, any::<bool>()).prop_map(|(start, step, passed)| Event::Gate { start, step, passed }),
        6 => (0..4_u64, 0..10_000_u64).prop_map(|(start, executions)| Event::Tick { start, executions }),
        6 => prop_oneof![
            Just(Command::Start),
            any::<bool>().prop_map(|force| Command::Retry { force }),
            Just(Command::Promote),
            Just(Command::PromoteFull),
            Just(Command::Pause),
            Just(Command::Resume),
            Just(Command::Abort),
            (0..=10_000_u16).prop_map(|count| Command::SetWeight(Weight::from_ten_thousandths(count).unwrap())),
        ].prop_map(Event::Command),
    ]
}

fn active(state: &State) -> bool {
    state.trying().is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(plan in 0..PLANS.len(), happenings in happenings()) {
        let mut story = Story::new(rules(PLANS[plan]));
        for (seconds, happening) in happenings {
            story.now += f64::from(seconds);
            let before = story.state.clone();
            let event = happening.event(&mut story);
            let Ok(effects) = story.try_to_tell(&event) else {
                prop_assert!(matches!(event, Event::Command(_)) && event != Event::Command(Command::Abort));
                prop_assert_eq!(&before, &story.state);
                continue;
            };
            let state = &story.state;
            hold(&before, state, &event, &effects, story.now)?;
            let stored = serde_json::to_string(state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&stored).unwrap(), state);
            always_possible(&story)?;
        }
    }
}

/// What holds of one change.
fn hold(before: &State, after: &State, event: &Event, effects: &[Effect], now: f64) -> Result<(), TestCaseError> {
    // One more generation for a change, with its audit as the last effect; none without.
    prop_assert_eq!(after.generation, before.generation + u64::from(!effects.is_empty()));
    let audits = effects.iter().filter(|effect| matches!(effect, Effect::Audit { .. })).count();
    prop_assert_eq!(audits, usize::from(!effects.is_empty()));
    let audited = matches!(effects.last(), None | Some(Effect::Audit { .. }));
    prop_assert!(audited);
    if before.phase.name() != after.phase.name() {
        prop_assert!(!effects.is_empty());
    }
    // Weight only while something is tried and ready, and whoever does the effects knows of it first.
    let weighs = matches!(after.phase, Phase::Progressing(_) | Phase::Paused { .. } | Phase::Promoted { .. });
    prop_assert!(weighs || after.weight() == Weight::ZERO);
    let promoted = matches!(after.phase, Phase::Promoted { .. });
    prop_assert!(!promoted || after.weight() == Weight::FULL);
    let told = (after.weight() != before.weight()).then(|| Effect::SetWeight(after.weight()));
    prop_assert_eq!(effects.first().filter(|effect| matches!(effect, Effect::SetWeight(_))).cloned(), told);
    // A start: a new number, no quarantine unless by force, and not what is stable already.
    if after.starts > before.starts {
        prop_assert_eq!(after.starts, before.starts + 1);
        prop_assert!(effects.contains(&Effect::FreshEvidence(after.starts)));
        if let Some(digest) =
            after.trying().map(|version| &version.digest).filter(|_| !matches!(before.phase, Phase::Suspended { .. }))
        {
            let forced = *event == Event::Command(Command::Retry { force: true });
            prop_assert!(forced || before.quarantined(digest, now).is_none());
            prop_assert!(after.stable.as_ref().is_none_or(|stable| stable.digest != *digest));
        }
    }
    // Stable is never moved forward without a way back.
    let aliases: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::SetAlias(alias, _) => Some(*alias),
            _ => None,
        })
        .collect();
    let expected = if promoted { vec![Alias::Previous, Alias::Stable] } else { vec![Alias::Stable] };
    prop_assert!(aliases.is_empty() || aliases == expected);
    Ok(())
}

/// Taking the canary out works in every state.
fn always_possible(story: &Story) -> Result<(), TestCaseError> {
    let tell = |state: &State, event: Event| perch_router::rollout::step(state, &story.rules, &event, story.now);
    let (aborted, effects) = tell(&story.state, Event::Command(Command::Abort)).unwrap();
    prop_assert!(!active(&aborted) && aborted.weight() == Weight::ZERO);
    prop_assert_eq!(active(&story.state), !effects.is_empty());
    prop_assert_eq!(tell(&aborted, Event::Command(Command::Abort)).unwrap(), (aborted, vec![]));
    if let Some(version) = story.state.trying() {
        let (start, digest) = (story.state.starts, version.digest.clone());
        let (demoted, _) =
            tell(&story.state, Event::Veto { start, digest: digest.clone(), why: String::new() }).unwrap();
        let is_demoted = matches!(demoted.phase, Phase::Demoted { .. });
        prop_assert!(is_demoted && demoted.quarantined(&digest, story.now).is_some());
        let (judged, _) = tell(&story.state, breach(start)).unwrap();
        prop_assert!(judged.weight() == Weight::ZERO);
        prop_assert_eq!(story.state.stable_failing || matches!(judged.phase, Phase::Demoted { .. }), true);
    }
    Ok(())
}
