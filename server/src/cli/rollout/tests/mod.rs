//! The commands against a server over a socket: what they ask, what they print, and how they end.

mod commands;
mod fake;
mod watch;

use std::io::{self, Write};
use std::sync::Arc;

use clap::Parser;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::console::Console;
use super::options::Surroundings;
use super::{Failure, RolloutCommand};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    command: RolloutCommand,
}

/// Text that is read while it is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("UTF-8")
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    /// What was told on the way, and why it failed.
    messages: String,
}

fn alice() -> Surroundings {
    Surroundings { token: None, user: Some("alice".into()), host: Some("laptop".into()) }
}

async fn perch_as(around: &Surroundings, arguments: &[&str]) -> Ended {
    let cli = match Cli::try_parse_from([&["rollout"], arguments].concat()) {
        Ok(cli) => cli,
        Err(error) => return Ended { code: 64, out: String::new(), messages: error.to_string() },
    };
    let (out, messages) = (Paper::default(), Paper::default());
    let outcome = {
        let mut console = Console::into(out.clone(), messages.clone());
        cli.command.run(around, &mut console).await
    };
    let (code, message) = match outcome {
        Ok(()) => (0, String::new()),
        Err(Failure::Failed(message)) => (1, message),
        Err(Failure::Usage(message)) => (64, message),
        Err(Failure::Missing(message)) => (69, message),
    };
    Ended { code, out: out.text(), messages: messages.text() + &message }
}

/// Runs a command as alice, on this server.
async fn perch(server: &str, arguments: &[&str]) -> Ended {
    perch_as(&alice(), &[arguments, &["--server", server]].concat()).await
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, pieces: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for piece in pieces {
        assert!(ended.out.contains(piece) || ended.messages.contains(piece), "{piece:?} is not in {ended:?}");
    }
}

fn view(model: &str, state: &str) -> Value {
    json!({
        "model": model, "generation": 7, "state": state, "reason": null, "stable": {"version": "1"},
        "canary": {"version": "2"}, "strategy": "canary", "judge": "sequential", "split": "balanced", "weight": 50.0,
        "actualShare": 49.9, "ready": true, "step": 4, "steps": 9, "plan": [], "waitingFor": "traffic",
        "metrics": [{"name": "errors", "unit": "share", "value": 0.004, "limit": 0.01, "evidence": -1.2,
            "enough": 7.6, "n": 123, "bad": 1, "status": "ok"}],
        "store": {"state": "ready"}
    })
}

fn history() -> Value {
    json!({"history": [
        {"generation": 7, "at": "2020-11-03T12:00:00Z", "who": "judge", "from": "progressing", "to": "demoted",
         "what": "version 3 is demoted: errors:\n0.31 is above 0.01", "version": "3"},
        {"generation": 6, "at": "2020-11-03T11:00:00Z", "who": "registry", "from": null, "to": "progressing",
         "what": null, "version": "3"}
    ]})
}
