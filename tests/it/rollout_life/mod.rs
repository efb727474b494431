//! The life of rollouts in the real binary: from the canary's alias to the new stable, out again, over restarts, and
//! what is told of it.

mod admin;
mod commands;
mod course;
mod kills;
mod lasting;
mod mlflow;
mod notices;
mod quarantine;
mod store;
mod unfit;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use perch_testkit::load::Question;
use perch_testkit::process::command;
use perch_testkit::{Client, Models, PerchProcess, Postgres, Reply, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::traffic::Traffic;
use crate::PERCH;
use crate::registry::questions;

pub(crate) mod receiver;
mod traffic;

pub(crate) const MODEL: &str = "curve_forecaster";
const FILE: &str = "state/rollouts.db";
/// Evidence is written each second, give or take a tick and a busy machine.
const FLUSHED: Duration = Duration::from_millis(1600);

/// A policy of two short steps and a gate; `delay` is how long the old version stays.
pub(crate) fn steps(delay: &str) -> String {
    policy(
        "[{setWeight: 20}, {pause: {duration: 1s}}, {gate: {metrics: [errors], confidence: 0.9}}, {setWeight: 60}, \
         {pause: {duration: 1s, minExecutions: 20}}, {setWeight: 100}, {pause: {duration: 1s}}, {promote: {}}]",
    ) + &format!("    scaleDownDelay: {delay}\n")
}

/// A policy of these steps that allows a tenth of the rows to fail.
pub(crate) fn policy(steps: &str) -> String {
    format!(
        "analysis: {{metrics: [{{name: errors, type: error-rate, max: 0.1}}]}}\nstrategy:\n  canary:\n    steps: {steps}\n"
    )
}

/// The example's three versions in a folder, and how they are to be rolled out. Processes that are started from one share
/// its state.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) models: Models,
    /// Its store: a file beside the policy, or a schema of a PostgreSQL.
    store: String,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
}

/// Which store the tests of what a single replica does run on: `sqlite`, or `postgres`.
const STORE: &str = "PERCH_TEST_STORE";

impl Site {
    fn new(policy: &str) -> Self {
        let dir = perch_testkit::state::folder();
        let chosen = env::var(STORE).unwrap_or_else(|_| "sqlite".to_owned());
        assert!(["sqlite", "postgres"].contains(&&*chosen), "{STORE} is {chosen}: expected sqlite or postgres");
        let file = || format!("sqlite://{}", dir.path().join(FILE).display());
        let store = if chosen == "postgres" { Postgres::shared().schema() } else { file() };
        Self::on(store, dir, policy)
    }

    /// One whose state is in this store.
    pub(crate) fn on_store(store: String, policy: &str) -> Self {
        Self::on(store, perch_testkit::state::folder(), policy)
    }

    fn on(store: String, dir: TempDir, policy: &str) -> Self {
        let models = Models::with(&[MODEL]);
        let site = Self { dir, models, store, arguments: Vec::new(), variables: BTreeMap::new() };
        site.policy(policy);
        site.variable("PERCH__REGISTRY__POLL", "50ms").variable("PERCH__SERVER__DRAIN__DELAY", "0s")
    }

    /// Another policy, for processes that start from here on.
    pub(crate) fn policy(&self, policy: &str) {
        fs::write(self.dir.path().join("policy.yaml"), policy).expect("written");
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A file beside the policy.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state file.
    fn state(&self) -> PathBuf {
        self.file(FILE)
    }

    /// What is run, without what runs it.
    fn serve(&self) -> Vec<String> {
        self.serve_from(self.models.path(), &self.file("policy.yaml"))
    }

    fn serve_from(&self, models: &Path, policy: &Path) -> Vec<String> {
        let (models, policy) = (models.display().to_string(), policy.display().to_string());
        let fixed =
            ["serve", "--models", &models, "--listen", "127.0.0.1:0", "--log-format", "json", "--rollout", &policy];
        let fixed = fixed.into_iter().chain(["--state", &self.store]).map(str::to_owned);
        fixed.chain(self.arguments.iter().cloned()).collect()
    }

    pub(crate) fn command(&self) -> Command {
        self.run(&self.serve())
    }

    /// One that has another folder of models, or another policy.
    pub(crate) fn command_from(&self, models: &Path, policy: &Path) -> Command {
        self.run(&self.serve_from(models, policy))
    }

    fn run(&self, arguments: &[String]) -> Command {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = command(PERCH, &arguments);
        command.envs(&self.variables);
        command
    }

    pub(crate) fn start(&self) -> PerchProcess {
        PerchProcess::spawn(&mut self.command())
    }

    pub(crate) fn ready(&self) -> PerchProcess {
        let perch = self.start();
        perch.wait_ready();
        perch
    }

    pub(crate) fn aliases(&self) -> Value {
        self.json("aliases.json")
    }

    /// The tags of a version.
    pub(crate) fn tags(&self, version: &str) -> Value {
        self.json("tags.json")[version].take()
    }

    fn json(&self, name: &str) -> Value {
        let bytes = fs::read(self.models.path().join(MODEL).join(name)).unwrap_or_else(|_| b"{}".to_vec());
        serde_json::from_slice(&bytes).expect("JSON")
    }

    pub(crate) fn wait_aliases(&self, expected: &Value) {
        wait::until_ok("the aliases", || {
            let aliases = self.aliases();
            if aliases == *expected { Ok(()) } else { Err(format!("{aliases}, expected {expected}")) }
        });
    }
}

/// The admin API of one model.
#[derive(Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    model: String,
    token: Option<String>,
}

impl Admin {
    pub(crate) fn of(perch: &PerchProcess) -> Self {
        Self { address: perch.address(), model: MODEL.to_owned(), token: None }
    }

    pub(crate) fn named(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut client = Client::new(self.address);
        // Where there is no token, no other host is let in.
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        if let Some(token) = &self.token {
            head.extend(["authorization: Bearer ", token, "\r\n"]);
        }
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        client.send(format!("{head}\r\n{body}").as_bytes()).expect("sent");
        client.receive().expect("an answer").expect("an answer")
    }

    fn path(&self, rest: &str) -> String {
        format!("/admin/rollouts/{}{rest}", self.model)
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn try_view(&self) -> Option<Value> {
        let reply = self.get(&self.path(""));
        (reply.status == 200).then(|| reply.json())
    }

    pub(crate) fn view(&self) -> Value {
        self.get(&self.path("")).ok()
    }

    /// The answer of a server that has its store. A PostgreSQL that does not answer for 2 s is taken for away until it is
    /// heard again, be it that the machine stood still; what is refused for that was not done.
    fn stored(ask: impl Fn() -> Reply) -> Reply {
        wait::until_ok("the store", || {
            let reply = ask();
            match (reply.status == 503).then(|| reply.error(503)) {
                Some((code, message)) if code == "store_unavailable" => Err(message),
                _ => Ok(reply),
            }
        })
    }

    pub(crate) fn post(&self, command: &str, body: &Value) -> Reply {
        Self::stored(|| self.try_post(command, body))
    }

    /// The same, where the store may be away.
    fn try_post(&self, command: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send("POST", &self.path(&format!("/{command}")), &[], &body)
    }

    /// Gives a command that has to be obeyed.
    pub(crate) fn say(&self, command: &str) -> Value {
        self.post(command, &json!({"who": "alice"})).ok()
    }

    /// Waits until `condition` holds for the view, and gives it.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        wait::until_ok(what, || match self.try_view() {
            Some(view) if condition(&view) => Ok(view),
            other => Err(other.map_or_else(|| "no view".to_owned(), |view| short(&view))),
        })
    }

    /// Waits until nothing has changed for a while: what the registry says is heard of by polling.
    fn settled(&self) {
        let mut last = Value::Null;
        wait::until_true("nothing changes", || {
            let before = std::mem::replace(&mut last, self.view()["generation"].clone());
            wait::pass(Duration::from_millis(400));
            before == last && last == self.view()["generation"]
        });
    }

    pub(crate) fn wait_state(&self, state: &str) -> Value {
        self.wait(state, |view| view["state"] == state)
    }

    pub(crate) fn history(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let before = all.last().map_or_else(String::new, |row| format!("&before={}", row["generation"]));
            let path = self.path(&format!("/history?limit=100{before}"));
            let page = Self::stored(|| self.get(&path)).ok()["history"].take();
            let Value::Array(page) = page else { return all };
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }
}

/// What matters of a view when it is not what was waited for.
pub(crate) fn short(view: &Value) -> String {
    let keys = [
        "state",
        "reason",
        "generation",
        "weight",
        "ready",
        "step",
        "waitingFor",
        "metrics",
        "canary",
        "stable",
        "store",
    ];
    json!(keys.map(|key| (key, view[key].clone()))).to_string()
}

/// From where to where, and by whom: oldest first.
fn moves(history: &[Value]) -> Vec<String> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    // In a fleet it is said which replica.
    let who = |row: &Value| text(row, "who").split('@').next().unwrap_or_default().to_owned();
    let line = |row: &Value| format!("{} {}>{}", who(row), text(row, "from"), text(row, "to"));
    history.iter().rev().map(line).collect()
}

/// Requests that every version answers with a number, and those that version 3 answers with NaN.
fn sorted_questions() -> (Vec<Question>, Vec<Question>) {
    sorted_questions_of(MODEL)
}

/// The same of the example under another name.
pub(crate) fn sorted_questions_of(model: &str) -> (Vec<Question>, Vec<Question>) {
    let mut questions = questions(model);
    for question in &mut questions {
        // Where a test registers the same files again.
        let again = question.answers["3"].clone();
        question.answers.insert("4".to_owned(), again);
    }
    questions.into_iter().partition(|question| question.answers["3"][0].is_number())
}

/// Loads that were made so far, of all versions.
pub(crate) fn loads(perch: &PerchProcess) -> f64 {
    let scrape = perch_testkit::metrics::Scrape::parse(perch.get("/metrics").text());
    scrape.sum("perch_model_load_duration_seconds_count", &[("model", MODEL)])
}

/// The digest of a version that is loaded.
pub(crate) fn digest(perch: &PerchProcess, version: &str) -> String {
    let model = perch.health().model(MODEL);
    let report = perch_testkit::health::report(&model, version).expect("a loaded version");
    report["digest"].as_str().expect("a digest").to_owned()
}

/// 200 requests a second.
fn traffic(perch: &PerchProcess) -> Traffic {
    Traffic::start(perch.address(), 200)
}
