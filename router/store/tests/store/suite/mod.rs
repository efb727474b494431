//! What every store does, whatever its database: called with one that is empty.

mod evidence;
mod outbox;
mod rollouts;

use perch_router::policy::RolloutPolicy;
use perch_router::rollout::{Event, Rules, State, Version, step};
use perch_store::{Audit, Claim, Message, Pending, Queue, Store, StoreError, Transition};
use serde_json::json;

/// All of it.
pub async fn run(store: &dyn Store) {
    rollouts::states_change_by_one_generation(store).await;
    rollouts::one_of_many_wins_each_generation(store).await;
    rollouts::a_touch_keeps_the_generation(store).await;
    rollouts::what_is_stale_leaves_nothing(store).await;
    rollouts::what_cannot_be_stored_is_refused(store).await;
    rollouts::history_is_read_in_pages(store).await;
    evidence::the_latest_of_each_boot_is_kept(store).await;
    evidence::adopted_evidence_takes_the_place_of_all(store).await;
    evidence::other_rollouts_are_forgotten(store).await;
    outbox::groups_go_in_their_order(store).await;
    outbox::a_key_is_stored_once(store).await;
    outbox::what_is_given_up_makes_way(store).await;
    outbox::what_somebody_sends_nobody_else_does(store).await;
}

/// What is due, and nobody's afterwards.
pub async fn pending(store: &dyn Store, queue: Queue, now: f64, limit: u32) -> Result<Vec<Pending>, StoreError> {
    store.claim(queue, &Claim { holder: "suite".into(), now, until: now }, limit).await
}

/// A state as rollouts have it: a canary on its way, with numbers that must not change on theirs.
pub fn state(generation: u64) -> State {
    let rules = Rules::of(&RolloutPolicy::default());
    let version = |name: &str| Version { name: name.into(), digest: format!("sha256:{name}") };
    let mut state = State { quarantine: [("sha256:0".into(), 1_795_000_000.1)].into(), ..State::default() };
    let events = [
        Event::StableMoved(version("1")),
        Event::CanaryAppeared(version("2")),
        Event::CanaryReady("sha256:2".into()),
        Event::Tick { start: 1, executions: u64::MAX },
    ];
    for (number, event) in events.iter().enumerate() {
        let now = 1_794_999_999.9 + 0.1 * f64::from(u8::try_from(number).unwrap());
        state = step(&state, &rules, event, now).unwrap().0;
    }
    State { generation, ..state }
}

pub fn audit(generation: u64) -> Audit {
    Audit {
        generation,
        at: 1_795_000_000.3,
        who: "judge".into(),
        from: "idle".into(),
        to: "progressing".into(),
        what: format!("version {generation}: \"ä\" 'b' \u{1F426}"),
        version: (generation % 2 == 1).then(|| "2".into()),
    }
}

pub fn message(key: &str, queue: Queue, group: &str) -> Message {
    Message { key: key.into(), queue, group: group.into(), payload: json!({"z": key, "a": [1, 0.1, null]}) }
}

pub fn transition(model: &str, from: u64, messages: Vec<Message>) -> Transition {
    Transition { model: model.into(), from, state: state(from + 1), audit: audit(from + 1), messages }
}
