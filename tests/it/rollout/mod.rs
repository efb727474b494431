//! Rollouts on the path of a request: who answers it, what of that is evidence, and when the canary is out.

mod batches;
mod broken;
mod clients;
mod fallback;
mod gate;
mod judges;
mod numbers;
mod outage;
mod real;
mod signature;
mod slow;
mod split;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perch_testkit::client::request;
use perch_testkit::fake::{Act, FakeLoader, Script, trigger};
use perch_testkit::load::Question;
use perch_testkit::{Client, Models, Reply, Rollout, TestServer, wait};
use serde_json::{Value, json};

/// All requests go to the canary, until somebody resumes or it is out.
const ALL: &str = "strategy: {canary: {steps: [{setWeight: 100}, {pause: {}}]}}";
/// Half of them.
const HALF: &str = "strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
/// Judged by errors only.
const ERRORS: &str = "analysis: {metrics: [{name: errors, type: error-rate, max: 0.01}]}";
/// The same, and nothing that a test does is enough to demote.
const PATIENT: &str = "analysis: {minFailures: 1000000, metrics: [{name: errors, type: error-rate, max: 0.01}]}";

/// A server of one scripted model: version 1 is stable, version 2 is tried.
struct Trial {
    server: TestServer,
    script: Arc<Script>,
    rollout: Rollout,
}

impl Trial {
    /// One whose canary is loaded and has the weight of its policy's first step. Metrics are shared by all tests of this
    /// process, so `name` is the test's own. `policy`: the parts of a policy, each on a line of its own.
    fn start(name: &str, policy: &[&str]) -> Self {
        Self::prepared(name, policy, "10s", |_| {})
    }

    /// The same with another request timeout, after `prepare` has told the script how versions load.
    fn prepared(name: &str, policy: &[&str], timeout: &str, prepare: impl FnOnce(&Script)) -> Self {
        Self::prepared_with(name, policy, timeout, "", prepare)
    }

    /// The same with further lines in the model's entry of the configuration.
    fn prepared_with(name: &str, policy: &[&str], timeout: &str, entry: &str, prepare: impl FnOnce(&Script)) -> Self {
        let (loader, script) = FakeLoader::new();
        prepare(&script);
        let models = Models::scripted(&[name]);
        models.scripted_version(name, 2);
        models.set_alias(name, "stable", 1);
        models.set_alias(name, "canary", 2);
        let server =
            TestServer::builder(models).yaml(&(yaml(name, policy) + entry)).set("server.requestTimeout", timeout);
        let server = server.loader(loader).ready();
        let rollout = Rollout::of(server.address(), name);
        rollout.wait("the canary has weight", |view| view["ready"] == true && view["weight"] != 0.0);
        Self { server, script, rollout }
    }

    /// Asks for one row on a new connection.
    fn ask(&self, row: f32) -> Reply {
        ask(&mut self.server.client(), row)
    }

    /// Runs of the canary so far.
    fn canary_runs(&self) -> usize {
        self.script.batches_of(2).len()
    }

    /// The sum of a metric's samples of this model.
    fn count(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let scrape = perch_testkit::metrics::Scrape::parse(self.server.get("/metrics").text());
        let view = self.rollout.view();
        let model = view["model"].as_str().expect("a name");
        scrape.sum(metric, &[&[("model", model)], labels].concat())
    }

    /// Its state, whatever that is, after the view was drawn anew with all `n` executions in `metric`.
    fn counted(&self, metric: &str, n: u64) -> (Value, Value) {
        let counted = self.rollout.wait_metric(metric, n);
        (self.rollout.view(), counted)
    }
}

/// A configuration with this policy.
fn yaml(name: &str, policy: &[&str]) -> String {
    let policy: String = policy.iter().map(|part| format!("    {part}\n")).collect();
    format!("models:\n- name: {name}\n  rollout:\n{policy}")
}

fn body(rows: &[f32]) -> Value {
    json!({"instances": rows})
}

fn ask(client: &mut Client, row: f32) -> Reply {
    client.predict(&body(&[row]))
}

fn send(client: &mut Client, rows: &[f32]) {
    client.send(&request("POST", "/predict", &[], body(rows).to_string().as_bytes())).expect("sent");
}

fn receive(client: &mut Client) -> Reply {
    client.receive().expect("whole").expect("an answer")
}

/// The track that has answered.
fn track(reply: &Reply) -> &str {
    reply.header("x-perch-track").expect("a track")
}

/// Why it was not the canary, where it was to be.
fn why(reply: &Reply) -> Option<&str> {
    reply.header("x-perch-fallback")
}

/// A right answer for one row, whoever gave it.
fn assert_doubled(reply: &Reply, row: f32) {
    assert_eq!(reply.ok()["predictions"], json!([2.0 * row]));
}

/// Single rows from 0 to below `count`, which both versions double.
fn questions(count: u16) -> Vec<Question> {
    let question = |row: u16| {
        let answers = ["1", "2"].map(|version| (version.to_owned(), json!([2 * row])));
        Question { body: json!({"instances": [row]}).to_string(), answers: BTreeMap::from(answers) }
    };
    (0..count).map(question).collect()
}

/// True for 3 of 10 whole numbers.
fn three_of_ten(rows: &[f32]) -> bool {
    rows.iter().any(|row| row % 10.0 < 3.0)
}

/// Whether a row of a batch is this one.
fn holds(batch: &[f32], row: f32) -> bool {
    batch.iter().any(|value| value.to_bits() == row.to_bits())
}

/// Keeps every reactor busy for a moment by requests for stable, so that what is sent meanwhile is read in one turn and
/// shares a batch. Gives the clients that wait for their answers.
fn hold_reactors(trial: &Trial) -> Vec<Client> {
    let runs = || trial.script.batches_of(1).iter().filter(|batch| holds(batch, trigger::SLOW)).count();
    let before = runs();
    trial.script.slow_ms.store(100, Ordering::SeqCst);
    let text = body(&[trigger::SLOW]).to_string();
    let holder = |_| {
        let mut client = trial.server.client();
        client.send(&request("POST", "/predict", &[("x-perch-track", "stable")], text.as_bytes())).expect("sent");
        client
    };
    let clients = (0..4).map(holder).collect();
    wait::until_true("a slow run", || runs() > before);
    clients
}

/// Lets `rows` arrive at once, until a batch of the canary holds at least two of them and `wanted` one. Gives the answers
/// of that round, by row, and the number of rounds.
fn merged(trial: &Trial, rows: &[f32], wanted: f32) -> (Vec<(f32, Reply)>, u64) {
    let mut clients: Vec<Client> = rows.iter().map(|_| trial.server.client()).collect();
    for client in &mut clients {
        client.connect().expect("connected");
    }
    let shared =
        |from: usize| trial.script.batches_of(2)[from..].iter().any(|batch| batch.len() > 1 && holds(batch, wanted));
    let mut rounds = 0;
    let replies = wait::until("a batch of the canary that requests share", || {
        let from = trial.canary_runs();
        let mut holders = hold_reactors(trial);
        for (client, row) in clients.iter_mut().zip(rows) {
            send(client, &[*row]);
        }
        let replies: Vec<(f32, Reply)> =
            clients.iter_mut().zip(rows).map(|(client, row)| (*row, receive(client))).collect();
        holders.iter_mut().for_each(|client| assert_eq!(receive(client).status, 200));
        rounds += 1;
        shared(from).then_some(replies)
    });
    (replies, rounds)
}

/// A version that takes long enough to be given threads of its own when it loads.
fn loads_on_workers(script: &Script, version: u64) {
    script.behave(version, |_| Act::Wait(Duration::from_millis(5)));
}
