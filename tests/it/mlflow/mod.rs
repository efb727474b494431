//! A registry in MLflow with its artifacts in MinIO, real ones both, and perch as a process of its own.

mod faults;
mod follows;
mod memory;
mod outages;
mod refresh;
mod refuses;
mod writeback;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perch_testkit::load::{Load, Question};
use perch_testkit::metrics::Scrape;
use perch_testkit::models::source;
use perch_testkit::process::command;
use perch_testkit::{Client, FaultProxy, Health, PerchProcess, Reply, Services, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PERCH;

/// How often perch asks MLflow here, where nothing else is set.
const POLL: Duration = Duration::from_millis(500);

/// How perch is to follow MLflow. Processes that are started from one share its cache.
struct Setup {
    dir: TempDir,
    models: String,
    variables: BTreeMap<String, String>,
}

impl Setup {
    /// Follows the tracked models of `services`.
    fn new(services: &Services) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let setup = Self { dir, models: String::new(), variables: BTreeMap::new() };
        let cache = setup.cache();
        setup
            .variable("AWS_ACCESS_KEY_ID", services.access_key())
            .variable("AWS_SECRET_ACCESS_KEY", services.secret_key())
            .set("registry.uri", services.mlflow())
            .set("registry.poll", &humantime(POLL))
            .set("artifacts.cache", cache.to_str().expect("UTF-8"))
            .set("artifacts.s3Endpoint", services.minio())
            .set("server.drain.delay", "0s")
    }

    /// Follows one model of the shared services.
    fn of(model: &str) -> Self {
        Self::new(Services::shared()).models(&format!("[{{name: {model}}}]"))
    }

    /// With these `models` in the configuration's file.
    fn models(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.models);
        self
    }

    /// Sets a key of the configuration, such as `server.maxBody`.
    fn set(self, key: &str, value: &str) -> Self {
        let mut name = "PERCH__".to_owned();
        for letter in key.chars() {
            match letter {
                '.' => name.push_str("__"),
                letter if letter.is_ascii_uppercase() => name.extend(['_', letter]),
                letter => name.push(letter.to_ascii_uppercase()),
            }
        }
        self.variable(&name, value)
    }

    /// Sets a variable of the environment.
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Asks MLflow through this proxy.
    fn mlflow_by(self, proxy: &FaultProxy) -> Self {
        self.set("registry.uri", &proxy.url())
    }

    /// Asks MinIO through this proxy.
    fn minio_by(self, proxy: &FaultProxy) -> Self {
        self.set("artifacts.s3Endpoint", &proxy.url())
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The only cached artifact of this version.
    fn cached(&self, model: &str, version: u64) -> PathBuf {
        let name = format!("{model}-{version}-");
        let entries = fs::read_dir(self.cache().join("artifacts")).expect("a cache");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let mut paths =
            paths.filter(|path| path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(&name)));
        let (found, more) = (paths.next().expect("a cached version"), paths.next());
        assert_eq!(more, None, "and another one");
        found
    }

    /// What is left in the cache of downloads that did not end, and of entries that were removed.
    fn leavings(&self) -> Vec<PathBuf> {
        let list = |name: &str| fs::read_dir(self.cache().join(name)).into_iter().flatten();
        ["partial", "trash"].into_iter().flat_map(list).map(|entry| entry.expect("readable").path()).collect()
    }

    /// What is run, without what runs it.
    fn arguments(&self) -> Vec<String> {
        let file = self.dir.path().join("perch.yaml");
        let models = if self.models.is_empty() { String::new() } else { format!("models: {}\n", self.models) };
        fs::write(&file, models).expect("written");
        let file = file.to_str().expect("UTF-8");
        ["serve", "--config", file, "--listen", "127.0.0.1:0", "--log-format", "json"].map(str::to_owned).to_vec()
    }

    fn start(&self) -> PerchProcess {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        PerchProcess::spawn(command(PERCH, &arguments).envs(&self.variables))
    }

    fn ready(&self) -> PerchProcess {
        let perch = self.start();
        perch.wait_ready();
        perch
    }
}

fn humantime(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// The folder of the fixture `external`, whose only version has weights in another file.
fn external() -> PathBuf {
    source("external").join("1")
}

/// The fixture `external` with so many bytes in a file beside it, which are downloaded and not loaded.
fn padded(bytes: usize) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(external()).expect("a fixture") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    // Different at every place, so that a part in the wrong one shows.
    let noise = (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    fs::write(dir.path().join("padding.bin"), noise.collect::<Vec<u8>>()).expect("written");
    dir
}

/// A model whose version 1 is the fixture `external`, which is `stable`.
fn register(name: &str, store: Store) {
    let registrar = Services::shared().registrar();
    assert_eq!(registrar.log_folder(name, &external(), store), 1);
    registrar.set_alias(name, "stable", 1);
}

/// Makes another version like version 1.
fn register_again(name: &str) -> u64 {
    let registrar = Services::shared().registrar();
    let uri = registrar.download_uri(name, 1);
    // MLflow does not register a second time what is behind it.
    if uri.starts_with("s3:") {
        registrar.register(name, &uri)
    } else {
        registrar.log_folder(name, &external(), Store::Proxied)
    }
}

/// A prediction of the fixture `external`, right from any version.
fn question(model: &str) -> Question {
    let body = json!({"model": model, "instances": [[1, 1, 1, 1]]}).to_string();
    Question { body, answers: (1..300).map(|version: u64| (version.to_string(), json!([10.5]))).collect() }
}

/// The version that answers, rightly.
fn answers(perch: &PerchProcess, model: &str) -> String {
    let question = question(model);
    question.check(&perch.client().post(&question.body)).expect("a right prediction")
}

/// 100 predictions a second, which must go well whatever happens meanwhile.
fn steady(perch: &PerchProcess, model: &str) -> Load {
    Load::paced(perch.address(), 2, 100, vec![question(model)])
}

/// Ends a load in which nothing failed.
fn assert_steady(load: Load) {
    load.wait_more(10);
    let tally = load.finish();
    assert_eq!(tally.failures, [] as [String; 0], "besides {:?}", tally.answers);
}

fn scrape(perch: &PerchProcess) -> Scrape {
    Scrape::parse(perch.get("/metrics").text())
}

/// Asks to look at a model now.
fn post_refresh(address: SocketAddr, model: &str) -> Reply {
    let mut client = Client::new(address);
    // Where there is no token, no other host is let in.
    let head = "HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    client.send(format!("POST /admin/models/{model}/refresh {head}").as_bytes()).expect("sent");
    client.receive().expect("an answer").expect("an answer")
}

/// Asks perch to look at a model now.
fn refresh(perch: &PerchProcess, model: &str) {
    let reply = post_refresh(perch.address(), model);
    assert_eq!(reply.status, 202, "{}", reply.text());
}

/// Waits until a version is ready or has failed, and gives the reason in that case.
fn outcome(health: Health, model: &str, version: u64) -> Option<String> {
    let version = version.to_string();
    let ended = |report: &Value| report["state"] == "ready" || report["state"] == "failed";
    let model = health.wait_model(model, "ready or failed", |model| {
        perch_testkit::health::report(model, &version).is_some_and(ended)
    });
    let report = perch_testkit::health::report(&model, &version).expect("waited for");
    report["error"].as_str().map(str::to_owned)
}

/// Flips a bit of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}
