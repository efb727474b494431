//! A process that is killed in the middle of its writes loses nothing that it was told is stored.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::suite::{message, transition};
use perch_store::{Queue, SqliteStore, Store, Swap};
use sqlx::{Connection, SqliteConnection};

const ROUNDS: usize = 20;
/// Names the file to the child.
const FILE: &str = "PERCH_STORE_TEST_FILE";
const COMMITTED: &str = "committed ";

/// The child: writes until it is killed, and says what is stored. Nothing where it is not asked to.
#[test]
fn child() {
    let Some(file) = env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&file)).await.unwrap();
        let mut generation = store.states().await.unwrap().get("m").map_or(0, |state| state.generation);
        loop {
            let messages = vec![message(&format!("m/{}", generation + 1), Queue::Notify, "m")];
            assert_eq!(store.transition(&transition("m", generation, messages)).await, Ok(Swap::Done));
            generation += 1;
            let mut out = std::io::stdout().lock();
            writeln!(out, "\n{COMMITTED}{generation}").unwrap();
            out.flush().unwrap();
        }
    });
}

/// Runs the child for a moment after its first change, and kills it. The last generation that it said is stored.
fn run_and_kill(file: &Path) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let committed = |line: String| line.strip_prefix(COMMITTED).and_then(|number| number.parse().ok());
    let first = lines.by_ref().find_map(committed).expect("the child should write");
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..60_000)));
    // SIGKILL.
    child.kill().unwrap();
    let last = lines.filter_map(committed).last().unwrap_or(first);
    assert!(!child.wait().unwrap().success());
    last
}

#[tokio::test]
async fn nothing_that_was_stored_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut before = 0;
    for round in 0..ROUNDS {
        let last = run_and_kill(&path);
        assert!(last > before, "round {round}: {last} after {before}");

        let store = SqliteStore::open(&path).await.unwrap();
        let generation = store.states().await.unwrap()["m"].generation;
        // The child may have been killed between the commit and its word.
        assert!((last..=last + 1).contains(&generation), "round {round}: {generation}, and {last} was stored");
        let history = store.history("m", u32::MAX, None).await.unwrap();
        assert!(history.iter().map(|row| row.generation).eq((1..=generation).rev()), "round {round}: gaps");
        assert_eq!(store.backlog(Queue::Notify).await.unwrap().pending, generation);
        store.close().await;

        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        assert_eq!(check, "ok", "round {round}");
        let keys: Vec<String> =
            sqlx::query_scalar("SELECT key FROM outbox ORDER BY id").fetch_all(&mut connection).await.unwrap();
        assert!(keys.iter().cloned().eq((1..=generation).map(|number| format!("m/{number}"))), "round {round}");
        connection.close().await.unwrap();
        before = generation;
    }
}
