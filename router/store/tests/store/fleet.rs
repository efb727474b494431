//! Replicas that judge together, over a real PostgreSQL.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use perch_router::evidence::Counts;
use perch_router::fleet::{Pool, Report, Reports, Share};
use perch_store::fleet::{Beat, Joining, Replica};
use perch_store::{PostgresStore, Store, Swap};
use serde_json::{Value, json};

use crate::cluster::{Cluster, of};
use crate::suite::transition;

const ROLLOUT: &str = "m/sha256:2/1";

fn joining(boot: &str, policy: &Value) -> Joining {
    Joining {
        model: "m".into(),
        rollout: ROLLOUT.into(),
        boot: boot.into(),
        pool: Pool::new(["errors"]),
        policy: policy.clone(),
        note: json!({"name": boot}),
    }
}

fn report(tick: u64, executions: u64) -> Report {
    let counts = Counts { executions, rows: executions, ..Counts::default() };
    let share = Share { counts, all: [-0.001 * f64::from(u32::try_from(executions).unwrap()); 12], ..Share::default() };
    Report { tick, shares: [("errors".to_owned(), share)].into(), last: false }
}

fn replica(boot: &str, name: &str) -> Replica {
    Replica { boot: boot.into(), name: name.into(), models: ["m".to_owned()].into(), age: Duration::ZERO }
}

async fn beat(store: &PostgresStore, boot: &str, report: Report) {
    let note = json!({"name": boot, "executions": report.shares["errors"].counts.executions});
    let beat = Beat { rollout: ROLLOUT.into(), boot: boot.into(), report: Some(report), note, known: u64::MAX >> 1 };
    let heard = store.beat(&replica("p", "host"), &[beat]).await.unwrap();
    assert!(heard.at > Duration::from_secs(1_700_000_000) && heard.pools.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_join_report_and_bring_the_pool_on() {
    let cluster = Cluster::own();
    let store = PostgresStore::open(&of(&cluster, "")).await.unwrap();
    // Four at once: each has a seat of its own, and all have the policy of one of them.
    let boots = ["a", "b", "c", "d"];
    let joinings: Vec<Joining> = boots.iter().map(|boot| joining(boot, &json!({"of": boot}))).collect();
    let joined = join_all(joinings.iter().map(|joining| store.join(joining))).await;
    let joined: Vec<_> = joined.into_iter().map(Result::unwrap).collect();
    let mut seats: Vec<u32> = joined.iter().map(|joined| joined.seat).collect();
    seats.sort_unstable();
    assert_eq!(seats, [0, 1, 2, 3]);
    assert!(joined.iter().all(|one| one.policy == joined[0].policy));
    // Whoever did not hear the answer asks again, and has no second seat.
    assert_eq!(store.join(&joinings[2]).await.unwrap().seat, joined[2].seat);

    let gathered = store.gather(ROLLOUT).await.unwrap().unwrap();
    // Whoever joined twice may have done so at two ticks.
    let heard: BTreeSet<&str> = gathered.reports.iter().map(|(boot, _)| &**boot).collect();
    assert_eq!(heard, boots.into(), "an empty one of each");
    let first = gathered.reports.iter().map(|(_, report)| report.tick).max().unwrap();
    for (place, boot) in boots.iter().enumerate() {
        beat(&store, boot, report(first + 1, 10 * (place as u64 + 1))).await;
    }
    // The same again changes nothing.
    beat(&store, "a", report(first + 1, 999)).await;
    let gathered = store.gather(ROLLOUT).await.unwrap().unwrap();
    let mut reports = Reports::default();
    for (boot, report) in gathered.reports {
        assert!(reports.put(&boot, report));
    }
    let young = |boot: &&str| gathered.ages.get(*boot).is_some_and(|age| *age < Duration::from_secs(60));
    assert!(boots.iter().all(young), "{:?}", gathered.ages);
    let cut = reports.cut(&gathered.pool, |_| Some(Duration::ZERO)).unwrap();
    let pool = gathered.pool.advance(&cut);
    assert_eq!((pool.tick(), pool.metric("errors").unwrap().counts().executions), (first + 1, 100));
    // One of those who try it does it.
    let moved = join_all((0..4).map(|_| store.advance(ROLLOUT, 0, &pool, &[]))).await;
    assert_eq!(moved.into_iter().filter(|moved| *moved == Ok(true)).count(), 1);
    let gathered = store.gather(ROLLOUT).await.unwrap().unwrap();
    assert_eq!(gathered.pool, pool);
    assert_eq!(gathered.reports.len(), 4, "what is older was forgotten");

    // Who knows an older pool is told, and of every model which generation is stored.
    assert_eq!(store.transition(&transition("m", 0, vec![])).await, Ok(Swap::Done));
    let ask =
        Beat { rollout: ROLLOUT.into(), boot: "a".into(), report: None, note: json!({"name": "a2"}), known: first };
    let heard = store.beat(&replica("q", "other"), std::slice::from_ref(&ask)).await.unwrap();
    assert_eq!((heard.pools[ROLLOUT].clone(), heard.generations["m"]), (pool.clone(), 1));
    assert!(heard.at.abs_diff(store.clock().await.unwrap()) < Duration::from_secs(60));
    let seen: Vec<_> = heard.replicas.iter().map(|replica| (&*replica.boot, &*replica.name)).collect();
    assert_eq!(seen, [("p", "host"), ("q", "other")]);
    assert!(heard.replicas[1].age < Duration::from_secs(60) && heard.replicas[1].models.contains("m"));
    store.leave("q").await.unwrap();
    assert_eq!(store.beat(&replica("p", "host"), &[]).await.unwrap().replicas.len(), 1);
    let members = store.members(ROLLOUT).await.unwrap();
    assert_eq!(members.iter().map(|member| &*member.boot).collect::<Vec<_>>(), boots);
    assert_eq!(members[0].note, json!({"name": "a2"}));
    assert!(members.iter().all(|member| member.age < Duration::from_secs(60)));

    // What is buried leaves its counts in the pool, and nothing else.
    assert!(store.advance(ROLLOUT, first + 1, &pool, &["d".into()]).await.unwrap());
    assert_eq!(store.gather(ROLLOUT).await.unwrap().unwrap().reports.len(), 3);
    // When the rollout is over, nobody is heard any more.
    store.disband("m", Some("m/sha256:3/2")).await.unwrap();
    assert_eq!(store.gather(ROLLOUT).await.unwrap(), None);
    assert!(store.beat(&replica("p", "host"), &[ask]).await.unwrap().pools.is_empty());
    assert_eq!(store.members(ROLLOUT).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_heard_of_as_they_are_made() {
    let cluster = Cluster::own();
    let [here, there] = [of(&cluster, ""), of(&cluster, "")];
    let (here, there) = (PostgresStore::open(&here).await.unwrap(), PostgresStore::open(&there).await.unwrap());
    let other = PostgresStore::open(&of(&cluster, "?schema=other_fleet")).await.unwrap();
    let mut listener = there.listen().await.unwrap();
    assert_eq!(other.transition(&transition("theirs", 0, vec![])).await, Ok(Swap::Done));
    assert_eq!(here.transition(&transition("m", 0, vec![])).await, Ok(Swap::Done));
    // A change that comes too late is none.
    assert_eq!(here.transition(&transition("m", 0, vec![])).await, Ok(Swap::Stale { generation: 1 }));
    assert_eq!(here.transition(&transition("n", 0, vec![])).await, Ok(Swap::Done));
    for expected in ["m", "n"] {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.next()).await.unwrap();
        assert_eq!(heard, Ok(Some((expected.to_owned(), 1))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pooler_lets_nobody_listen_and_that_is_said() {
    let cluster = Cluster::behind_a_pooler();
    let store = PostgresStore::open(&of(&cluster, "")).await.unwrap();
    let error = store.listen().await.err().unwrap();
    assert!(error.message.contains("is there a pooler in transaction mode?"), "{error}");
    // All else works.
    assert_eq!(store.join(&joining("a", &json!({}))).await.unwrap().seat, 0);
    beat(&store, "a", report(u64::from(u32::MAX), 1)).await;
}
