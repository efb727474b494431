//! The store in a file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::suite::{self, audit, message, pending, state, transition};
use perch_store::{BoxFuture, ErrorKind, EvidenceRow, Queue, SqliteStore, Store, StoreError, Swap};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

async fn refused(path: &Path) -> StoreError {
    SqliteStore::open(path).await.unwrap_err()
}

async fn change(path: &Path, sql: &str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_what_every_store_does() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(&open(&folder.path().join("a/folder/state.db")).await).await;
}

#[tokio::test]
async fn a_task_of_its_own_may_open_one() {
    async fn by_name(folder: &Path, name: &str) -> SqliteStore {
        open(&folder.join(name)).await
    }
    fn boxed<'f>(future: impl Future<Output = SqliteStore> + Send + 'f) -> BoxFuture<'f, SqliteStore> {
        Box::pin(future)
    }
    let folder = tempfile::tempdir().unwrap();
    let store = boxed(by_name(folder.path(), "state.db")).await;
    assert_eq!(store.states().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let evidence = EvidenceRow {
        model: "m".into(),
        rollout: "m/d/1".into(),
        boot: "a".into(),
        sequence: 3,
        at: 1.5,
        payload: serde_json::json!({"sums": [0.1]}),
    };
    let messages = ["k1", "k2"].map(|key| message(key, Queue::Notify, "g")).to_vec();
    let store = open(&path).await;
    store.transition(&transition("m", 0, messages)).await.unwrap();
    store.put_evidence(&evidence).await.unwrap();
    let first = pending(&store, Queue::Notify, 1.0, 10).await.unwrap();
    store.put_off(first[0].id, "away", 50.0).await.unwrap();
    store.close().await;

    let store = open(&path).await;
    assert_eq!(store.states().await.unwrap()["m"], state(1));
    assert_eq!(store.history("m", 10, None).await.unwrap(), [audit(1)]);
    assert_eq!(store.evidence("m/d/1").await.unwrap(), [evidence]);
    assert_eq!(pending(&store, Queue::Notify, 49.0, 10).await.unwrap(), []);
    let due = pending(&store, Queue::Notify, 50.0, 10).await.unwrap();
    assert_eq!((due[0].id, due[0].attempts, due.len()), (first[0].id, 1, 1));
    assert_eq!(store.transition(&transition("m", 1, vec![])).await, Ok(Swap::Done));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_done_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db")).await;
    let (mut generation, mut dropped) = (0, 0);
    for _ in 0..300 {
        let messages = vec![message(&format!("{generation}"), Queue::Notify, "g")];
        let change = transition("m", generation, messages);
        let patience = Duration::from_micros(fastrand::u64(0..2_000));
        dropped += u32::from(tokio::time::timeout(patience, store.transition(&change)).await.is_err());
        generation = store.states().await.unwrap().get("m").map_or(0, |state| state.generation);
        let history = store.history("m", 1000, None).await.unwrap();
        assert!(history.iter().map(|row| row.generation).eq((1..=generation).rev()), "{generation}");
        assert_eq!(store.backlog(Queue::Notify).await.unwrap().pending, generation);
    }
    assert!(dropped > 0 && generation > 0, "{dropped} were dropped, {generation} were done");
}

#[tokio::test]
async fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let again = refused(&path).await;
    assert_eq!(again.kind, ErrorKind::InUse);
    assert!(again.message.ends_with("state.db is in use by this process already"), "{again}");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(refused(&link).await.kind, ErrorKind::InUse, "by another name");
    fs::write(folder.path().join("state.db.lock"), "4711\n").unwrap();
    assert!(refused(&path).await.message.ends_with("in use by another process (4711)"));
    store.close().await;
    open(&path).await.close().await;
    let pid = fs::read_to_string(folder.path().join("state.db.lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("short.db", "hello".to_owned()), ("long.db", "models:\n".repeat(10_000))] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        assert!(error.message.ends_with(&format!("{name} is not a database")), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
    }
    let other = folder.path().join("mlflow.db");
    fs::write(&other, "").unwrap();
    change(&other, "CREATE TABLE experiments (id INTEGER)").await;
    let before = fs::read(&other).unwrap();
    let error = refused(&other).await;
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("mlflow.db is the database of another program"), "{error}");
    assert_eq!(fs::read(&other).unwrap(), before);
    let error = refused(folder.path()).await;
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("is a folder"), "{error}");
    let error = refused(&folder.path().join("short.db/state.db")).await;
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("short.db/state.db"), "{error}");
}

#[tokio::test]
async fn what_a_newer_perch_wrote_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    open(&path).await.close().await;
    change(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', 1, x'00', 1)",
    )
    .await;
    let error = refused(&path).await;
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("written by a newer perch: its schema is version 99"), "{error}");
    change(&path, "DELETE FROM _sqlx_migrations WHERE version = 99; UPDATE _sqlx_migrations SET checksum = x'00'")
        .await;
    let error = refused(&path).await;
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("a schema that is not perch's"), "{error}");
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    store.transition(&transition("iris", 0, vec![message("k", Queue::Notify, "g")])).await.unwrap();
    change(&path, r#"UPDATE rollout SET state = '{"generation":1,"phase":{"is":"hovering"}}'"#).await;
    let error = store.states().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("model \"iris\"") && error.message.contains("hovering"), "{error}");
    change(&path, "UPDATE outbox SET payload = '{'; UPDATE audit SET generation = -1").await;
    let error = pending(&store, Queue::Notify, 1.0, 10).await.unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("\"k\""), "{error}");
    let error = store.history("iris", 10, None).await.unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("-1"), "{error}");
    // A history that says that the generation was there already.
    change(&path, "UPDATE audit SET generation = 2").await;
    let error = store.transition(&transition("iris", 1, vec![])).await.unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("contradicts itself"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    for from in 0..50 {
        store.transition(&transition("m", from, vec![])).await.unwrap();
    }
    store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let error = match SqliteStore::open(&path).await {
        Ok(store) => store.states().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("state.db is damaged"), "{error}");
}

#[tokio::test]
async fn what_is_done_is_swept_after_a_month() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let messages = ["old", "given up", "young", "waiting"].map(|key| message(key, Queue::Notify, key));
    store.transition(&transition("m", 0, messages.to_vec())).await.unwrap();
    let due = pending(&store, Queue::Notify, 1.0, 10).await.unwrap();
    store.sent(due[0].id).await.unwrap();
    store.give_up(due[1].id, "404").await.unwrap();
    change(&path, "UPDATE outbox SET done = done - 31 * 86400 WHERE done IS NOT NULL").await;
    store.sent(due[2].id).await.unwrap();
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let left: Vec<String> =
        sqlx::query_scalar("SELECT key FROM outbox ORDER BY id").fetch_all(&mut connection).await.unwrap();
    assert_eq!(left, ["young", "waiting"]);
}
