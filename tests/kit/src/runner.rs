//! A script that runs real services: it describes them in a line of JSON, reads commands and answers each, and ends with
//! them when its input closes, however that comes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::models::root;

/// The script at work. Ended when dropped.
pub struct Runner {
    name: &'static str,
    inner: Mutex<Inner>,
}

struct Inner {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    /// Starts `scripts/NAME ARGUMENTS`; gives what it says of its services.
    pub fn start(name: &'static str, arguments: &[&str]) -> (Self, Value) {
        let mut command = Command::new(root().join("scripts").join(name));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a script of this project, which needs bash");
        let (commands, answers) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut inner = Inner { child, commands, answers: BufReader::new(answers) };
        let described = inner.answer(name);
        (Self { name, inner: Mutex::new(inner) }, described)
    }

    /// Gives a command, and waits until it is done. A failure ends the test.
    pub fn command(&self, line: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = inner.commands.as_mut().expect("open until dropped");
        writeln!(commands, "{line}").expect("the script runs");
        inner.answer(self.name);
    }
}

impl Inner {
    /// Reads what it says next.
    fn answer(&mut self, name: &str) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("readable");
        // What is missing is on stderr, which libtest lets through.
        let ended = format!("the services do not run, the reason is above; run: scripts/{name} install");
        assert!(!line.is_empty(), "{ended} ({:?})", self.child.wait());
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer.get("error"), None, "scripts/{name}: {answer}");
        answer
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It ends when this closes, and has deleted everything by then.
        self.commands = None;
        let _ = self.child.wait();
    }
}
