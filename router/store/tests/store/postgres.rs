//! The store in PostgreSQL: a real one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use perch_store::postgres::Place;
use perch_store::{ErrorKind, PostgresStore, Queue, Store, StoreError, Swap};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::cluster::{Cluster, of};
use crate::suite::{self, audit, message, state, transition};

async fn open(place: &Place) -> PostgresStore {
    PostgresStore::open(place).await.unwrap()
}

async fn refused(place: &Place) -> StoreError {
    PostgresStore::open(place).await.unwrap_err()
}

async fn change(cluster: &Cluster, sql: &str) {
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_what_every_store_does() {
    let cluster = Cluster::own();
    let place = of(&cluster, "");
    suite::run(&open(&place).await).await;
    // Another schema of the same database is another fleet's.
    let other = open(&of(&cluster, "?schema=other_fleet")).await;
    assert_eq!(other.states().await.unwrap().len(), 0);
    suite::run(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pooler_that_shares_sessions_between_transactions_changes_nothing() {
    let cluster = Cluster::behind_a_pooler();
    let place = of(&cluster, "");
    let stores = join_all((0..4).map(|_| open(&place))).await;
    suite::run(&stores[0]).await;
    let other = open(&of(&cluster, "?schema=other_fleet")).await;
    for from in 0..20 {
        let change = transition("shared", from, vec![]);
        let swaps = join_all(stores.iter().map(|store| store.transition(&change))).await;
        assert_eq!(swaps.iter().filter(|swap| **swap == Ok(Swap::Done)).count(), 1, "{swaps:?}");
        // What one transaction has set for itself is not there for the next one of its session.
        assert_eq!(other.states().await.unwrap().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_start_together_make_the_tables_once() {
    let cluster = Cluster::own();
    let place = of(&cluster, "");
    let stores = join_all((0..8).map(|_| PostgresStore::open(&place))).await;
    let stores: Vec<PostgresStore> = stores.into_iter().map(Result::unwrap).collect();
    // Of those who try the same step, one wins; the others learn what is stored.
    for from in 0..20 {
        let change = transition("m", from, vec![message(&format!("m/{from}"), Queue::Notify, "m")]);
        let swaps = join_all(stores.iter().map(|store| store.transition(&change))).await;
        let won = swaps.iter().filter(|swap| **swap == Ok(Swap::Done)).count();
        let lost = swaps.iter().filter(|swap| **swap == Ok(Swap::Stale { generation: from + 1 })).count();
        assert_eq!((won, lost), (1, 7), "{swaps:?}");
    }
    let history = stores[3].history("m", 100, None).await.unwrap();
    assert!(history.iter().map(|row| row.generation).eq((1..=20).rev()));
    assert_eq!(stores[5].backlog(Queue::Notify).await.unwrap().pending, 20);
    for store in stores {
        store.close().await;
    }
    let again = open(&place).await;
    assert_eq!((again.states().await.unwrap()["m"].clone(), history[0].clone()), (state(20), audit(20)));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_done_or_not() {
    let cluster = Cluster::own();
    let store = open(&of(&cluster, "")).await;
    let (mut generation, mut dropped) = (0, 0);
    for _ in 0..300 {
        let messages = vec![message(&format!("{generation}"), Queue::Notify, "g")];
        let change = transition("m", generation, messages);
        let patience = Duration::from_micros(fastrand::u64(0..4_000));
        dropped += u32::from(tokio::time::timeout(patience, store.transition(&change)).await.is_err());
        // What was on its way to the database when the call was dropped is done a moment later, or never: whoever
        // tries that generation again is told.
        let next = transition("m", generation, vec![message(&format!("{generation}"), Queue::Notify, "g")]);
        generation = match store.transition(&next).await.unwrap() {
            Swap::Done => generation + 1,
            Swap::Stale { generation } => generation,
        };
        let history = store.history("m", 1000, None).await.unwrap();
        assert!(history.iter().map(|row| row.generation).eq((1..=generation).rev()), "{generation}");
        assert_eq!(store.backlog(Queue::Notify).await.unwrap().pending, generation);
    }
    assert!(dropped > 0 && generation > 0, "{dropped} were dropped, {generation} were done");
}

#[tokio::test]
async fn a_database_that_is_away_comes_back() {
    let cluster = Cluster::own();
    let store = open(&of(&cluster, "")).await;
    store.transition(&transition("m", 0, vec![message("k", Queue::Notify, "g")])).await.unwrap();
    for (away, back) in [("stop", "start"), ("kill", "start")] {
        cluster.command(away);
        let error = store.states().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.starts_with("postgres://perch@127.0.0.1:"), "{error}");
        cluster.command(back);
        assert_eq!(store.states().await.unwrap()["m"], state(1), "after {away}");
    }
    assert_eq!(store.transition(&transition("m", 1, vec![])).await, Ok(Swap::Done));
    // One that is there and says nothing: the caller's patience ends, and what it wanted is done or not.
    cluster.command("freeze");
    let change = transition("m", 2, vec![message("k2", Queue::Notify, "g")]);
    let began = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(300), store.transition(&change)).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(2));
    cluster.command("thaw");
    let stored = store.states().await.unwrap()["m"].generation;
    let pending = store.backlog(Queue::Notify).await.unwrap().pending;
    assert!((stored, pending) == (2, 1) || (stored, pending) == (3, 2), "{stored}, {pending}");
}

#[tokio::test]
async fn who_may_not_make_a_schema_is_told_what_to_do() {
    let cluster = Cluster::own();
    change(&cluster, "CREATE ROLE server LOGIN").await;
    let place: Place = cluster.url().replace("perch@", "server@").parse().unwrap();
    let error = refused(&place).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.ends_with("let its owner run: CREATE SCHEMA perch AUTHORIZATION server"), "{error}");
    change(&cluster, "CREATE SCHEMA perch AUTHORIZATION server").await;
    let store = open(&place).await;
    assert_eq!(store.transition(&transition("m", 0, vec![])).await, Ok(Swap::Done));
}

#[tokio::test]
async fn what_a_newer_perch_wrote_is_refused() {
    let cluster = Cluster::own();
    let place = of(&cluster, "");
    open(&place).await.close().await;
    change(&cluster, "INSERT INTO perch.schema_step (step) VALUES (99)").await;
    let error = refused(&place).await;
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("written by a newer perch: its schema is version 99"), "{error}");
}

#[tokio::test]
async fn tables_that_are_gone_and_values_that_are_wrong_are_said() {
    let cluster = Cluster::own();
    let store = open(&of(&cluster, "")).await;
    store.transition(&transition("m", 0, vec![])).await.unwrap();
    change(
        &cluster,
        "INSERT INTO perch.audit SELECT model, 2, at, who, from_phase, to_phase, what, version FROM perch.audit",
    )
    .await;
    let error = store.transition(&transition("m", 1, vec![])).await.unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("contradicts itself"), "{error}");
    change(&cluster, "DROP TABLE perch.outbox").await;
    let error = store.backlog(Queue::Notify).await.unwrap_err();
    assert!(error.kind == ErrorKind::Incompatible && error.message.contains("has lost its tables"), "{error}");
}

#[tokio::test]
async fn where_nobody_listens_that_is_said_at_once() {
    let place: Place = "postgres://perch:hunter2@127.0.0.1:1/perch".parse().unwrap();
    let began = Instant::now();
    let error = refused(&place).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("127.0.0.1:1") && !error.message.contains("hunter2"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
