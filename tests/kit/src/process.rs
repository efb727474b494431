//! The real binary as a process: its arguments, its log, its signals, its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::models::root;
use crate::{Client, Health, Reply, wait};

/// A command of `perch` with an empty environment, apart from what finds programs and ONNX Runtime, and a place for state
/// that is not the user's.
pub fn command(binary: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(root()).env_clear();
    command.env("XDG_STATE_HOME", std::env::temp_dir().join(format!("perch-tests-{}", std::process::id())));
    for name in ["PATH", "ORT_DYLIB_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
}

/// Runs a command of `perch` to its end.
pub fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// `perch serve`, running. Killed when dropped.
pub struct PerchProcess {
    child: Child,
    address: SocketAddr,
    lines: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
    _state: TempDir,
}

impl PerchProcess {
    /// Serves `models` on a free port, with more arguments, once it listens.
    pub fn serve(binary: &str, models: &Path, arguments: &[&str]) -> Self {
        let models = models.to_str().expect("a path in UTF-8");
        let listen = ["serve", "--models", models, "--listen", "127.0.0.1:0", "--log-format", "json"];
        Self::spawn(&mut command(binary, &[&listen, arguments].concat()))
    }

    /// Starts a command that serves, and waits until it listens. Its state is its own and goes with it, unless the command
    /// says otherwise: `--state` is for what is to be remembered by the next one.
    pub fn spawn(command: &mut Command) -> Self {
        let state = crate::state::folder();
        command.env("XDG_STATE_HOME", state.path());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
        let stderr = child.stderr.take().expect("piped");
        let lines = Arc::new(Lines::default());
        let (sender, listening) = channel();
        let log = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = listening_address(&line) {
                    // Only the first one is waited for.
                    let _ = sender.send(address);
                }
                log.push(line);
            }
        });
        let address = listening.recv_timeout(wait::LONG);
        let address = address.map_err(|error| format!("{error}, {:?}", lines.all())).expect("a line that it listens");
        Self { child, address, lines, reader: Some(reader), _state: state }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client with a connection of its own.
    pub const fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The process' id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gets a path on a new connection.
    pub fn get(&self, path: &str) -> Reply {
        self.client().get(path)
    }

    /// What it says of itself.
    pub const fn health(&self) -> Health {
        Health::of(self.address)
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self) {
        self.health().wait_ready();
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success(), "the process is there");
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait::until("the end of the process", || self.child.try_wait().expect("ours"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        status
    }

    /// True when it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("ours").is_some()
    }

    /// The lines that it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.all()
    }

    /// The most memory that it ever had resident, in bytes; Linux only.
    pub fn peak_memory(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// The memory that it has resident, in bytes; Linux only.
    pub fn resident_memory(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, key: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
    }

    /// Ends it at once, as the kernel does, or a power cut.
    pub fn kill(mut self) {
        self.child.kill().expect("the process is there");
        self.wait();
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        self.signal("TERM");
        assert!(self.wait().success(), "{:?}", self.log());
    }
}

impl Drop for PerchProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] == "listening" { line["address"].as_str()?.parse().ok() } else { None }
}

/// The log, shared with the thread that reads it.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn push(&self, line: String) {
        self.0.lock().expect("no thread panics with it").push(line);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no thread panics with it").clone()
    }
}
