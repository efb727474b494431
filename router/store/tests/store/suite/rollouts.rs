use futures_util::future::join_all;
use perch_router::rollout::{Phase, State};
use perch_store::{ErrorKind, Queue, Store, Swap, Transition};

use super::{audit, message, pending, state, transition};

pub async fn states_change_by_one_generation(store: &dyn Store) {
    let stale = |generation| Ok(Swap::Stale { generation });
    assert_eq!(store.states().await.unwrap().get("swap"), None);
    assert_eq!(store.transition(&transition("swap", 3, vec![])).await, stale(0));
    assert_eq!(store.transition(&transition("swap", 0, vec![])).await, Ok(Swap::Done));
    assert_eq!(store.states().await.unwrap()["swap"], state(1));
    assert_eq!(store.transition(&transition("swap", 0, vec![])).await, stale(1));
    assert_eq!(store.transition(&transition("swap", 1, vec![])).await, Ok(Swap::Done));
    assert_eq!(store.transition(&transition("other", 0, vec![])).await, Ok(Swap::Done));
    let states = store.states().await.unwrap();
    assert_eq!((&states["swap"], &states["other"]), (&state(2), &state(1)));
}

pub async fn one_of_many_wins_each_generation(store: &dyn Store) {
    const TASKS: usize = 8;
    const EACH: usize = 25;
    let work = (0..TASKS).map(|task| async move {
        let (mut generation, mut won) = (0, 0);
        while won < EACH {
            let mut change = transition("race", generation, vec![]);
            change.audit.who = format!("task {task}");
            change.messages.push(message(&format!("race/{task}/{}", generation + 1), Queue::Registry, "race"));
            generation = match store.transition(&change).await.unwrap() {
                Swap::Done => {
                    won += 1;
                    generation + 1
                }
                Swap::Stale { generation: stored } => {
                    assert!(stored > generation, "{stored} after {generation}");
                    stored
                }
            };
        }
    });
    join_all(work).await;
    let all = u64::try_from(TASKS * EACH).unwrap();
    assert_eq!(store.states().await.unwrap()["race"].generation, all);
    let history = store.history("race", 1000, None).await.unwrap();
    assert!(history.iter().map(|row| row.generation).eq((1..=all).rev()), "gapless, and no generation twice");
    for task in 0..TASKS {
        assert_eq!(history.iter().filter(|row| row.who == format!("task {task}")).count(), EACH);
    }
    // One message a generation, of whoever won it, in their order.
    for row in history.iter().rev() {
        let due = pending(store, Queue::Registry, 1e10, 100).await.unwrap();
        let [first] = &due[..] else { panic!("one group: {due:?}") };
        let task = row.who.strip_prefix("task ").unwrap();
        assert_eq!(first.message.key, format!("race/{task}/{}", row.generation));
        store.sent(first.id).await.unwrap();
    }
    assert_eq!(store.backlog(Queue::Registry).await.unwrap().pending, 0);
}

pub async fn a_touch_keeps_the_generation(store: &dyn Store) {
    store.transition(&transition("touch", 0, vec![])).await.unwrap();
    let mut ticked = state(1);
    let Phase::Progressing(course) = &mut ticked.phase else { panic!("{ticked:?}") };
    course.spent = 0.1 + 0.2;
    assert_eq!(store.touch("touch", &ticked).await, Ok(Swap::Done));
    assert_eq!(store.states().await.unwrap()["touch"], ticked);
    assert_eq!(store.touch("touch", &state(2)).await, Ok(Swap::Stale { generation: 1 }));
    assert_eq!(store.touch("untouched", &state(2)).await, Ok(Swap::Stale { generation: 0 }));
    assert_eq!(store.states().await.unwrap()["touch"], ticked);
    assert_eq!(store.history("touch", 10, None).await.unwrap(), [audit(1)], "no row for it");
    // What has no generation yet is kept too, and the first change follows it.
    assert_eq!(store.touch("before", &State::default()).await, Ok(Swap::Done));
    assert_eq!(store.states().await.unwrap()["before"], State::default());
    assert_eq!(store.transition(&transition("before", 0, vec![])).await, Ok(Swap::Done));
    assert_eq!(store.touch("before", &State::default()).await, Ok(Swap::Stale { generation: 1 }));
}

pub async fn what_is_stale_leaves_nothing(store: &dyn Store) {
    store.transition(&transition("stale", 0, vec![])).await.unwrap();
    let mut late = transition("stale", 0, vec![message("stale/1", Queue::Notify, "stale")]);
    late.audit.who = "too late".into();
    assert_eq!(store.transition(&late).await, Ok(Swap::Stale { generation: 1 }));
    assert_eq!(store.history("stale", 10, None).await.unwrap(), [audit(1)]);
    assert_eq!(store.backlog(Queue::Notify).await.unwrap().pending, 0);
    assert_eq!(pending(store, Queue::Notify, 1e10, 10).await.unwrap(), []);
}

pub async fn what_cannot_be_stored_is_refused(store: &dyn Store) {
    let refused = async |change: &Transition, word: &str| {
        let error = store.transition(change).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(word), "{error}");
    };
    let good = || transition("refused", 0, vec![message("refused/1", Queue::Notify, "refused")]);
    let mut jump = good();
    jump.state.generation = 2;
    refused(&jump, "generation 2: expected 0 + 1").await;
    let mut other = good();
    other.audit.generation = 7;
    refused(&other, "audit row").await;
    let mut time = good();
    time.audit.at = f64::NAN;
    refused(&time, "NaN").await;
    refused(&Transition { from: u64::MAX, ..good() }, "generation").await;
    let mut large = good();
    (large.from, large.state.generation, large.audit.generation) = (1 << 63, (1 << 63) + 1, (1 << 63) + 1);
    refused(&large, "9223372036854775809").await;
    // JSON writes infinity as null: nobody could read it again.
    let mut endless = good();
    let Phase::Progressing(course) = &mut endless.state.phase else { panic!("{endless:?}") };
    course.spent = f64::INFINITY;
    refused(&endless, "model \"refused\"").await;
    assert_eq!(store.states().await.unwrap().get("refused"), None);
    assert_eq!(store.history("refused", 10, None).await.unwrap(), []);
    assert_eq!(store.backlog(Queue::Notify).await.unwrap().pending, 0);
    // The largest that fits survives.
    let last = u64::try_from(i64::MAX).unwrap();
    assert_eq!(store.touch("large", &state(last)).await, Ok(Swap::Stale { generation: 0 }));
    assert_eq!(store.touch("large", &state(last + 1)).await.unwrap_err().kind, ErrorKind::Invalid);
}

pub async fn history_is_read_in_pages(store: &dyn Store) {
    for from in 0..5 {
        store.transition(&transition("pages", from, vec![])).await.unwrap();
    }
    let page = async |limit, before| {
        let rows = store.history("pages", limit, before).await.unwrap();
        assert!(rows.iter().all(|row| *row == audit(row.generation)), "{rows:?}");
        rows.iter().map(|row| row.generation).collect::<Vec<_>>()
    };
    assert_eq!(page(2, None).await, [5, 4]);
    assert_eq!(page(2, Some(4)).await, [3, 2]);
    assert_eq!(page(2, Some(2)).await, [1]);
    assert_eq!(page(10, Some(u64::MAX)).await, [5, 4, 3, 2, 1]);
    assert!(page(10, Some(0)).await.is_empty());
    assert!(page(0, None).await.is_empty());
    assert_eq!(store.history("nobody", 10, None).await.unwrap(), []);
}
