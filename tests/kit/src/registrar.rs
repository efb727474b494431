//! A Python process with the real clients of MLflow and S3: it registers models, and damages them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::Services;
use crate::models::root;

/// What else comes is a fault of this module.
const ANSWER: &str = "an answer of registrar.py";

/// Where the artifacts of a model go, and how they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Through MLflow.
    Proxied,
    /// To the bucket, by every client itself.
    Direct,
}

/// `registrar.py`: commands are done one after the other, and one that fails ends the test with its traceback.
pub struct Registrar {
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Registrar {
    /// Starts one, which takes as long as Python needs to import MLflow.
    pub(crate) fn start(services: &Services) -> Self {
        let mut command = Command::new(services.python());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["AWS_", "MLFLOW_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        let log = File::create(services.folder().join("registrar.log")).expect("a log");
        command
            .arg(root().join("tests/kit/registrar.py"))
            .env("PERCH_BUCKET", services.bucket())
            .env("AWS_ACCESS_KEY_ID", services.access_key())
            .env("AWS_SECRET_ACCESS_KEY", services.secret_key())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("MLFLOW_S3_ENDPOINT_URL", services.minio())
            .env("MLFLOW_TRACKING_URI", services.mlflow())
            .env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the Python of scripts/services");
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("piped")));
        Self { process: Mutex::new(Process { child, commands, answers }) }
    }

    /// Logs an ONNX file, or the `model.onnx` of a folder, by `mlflow.onnx.log_model`, and says which version it is.
    /// The example is rows, or rows by input, and becomes `input_example.json`.
    pub fn log_onnx(&self, name: &str, model: &Path, store: Store, input_example: Option<&Value>) -> u64 {
        let file = if model.is_dir() { model.join("model.onnx") } else { model.to_owned() };
        let command = json!({"do": "log_onnx", "name": name, "file": file, "store": store.name(),
            "input_example": input_example});
        self.version(command)
    }

    /// Logs a folder as it is by `log_artifacts`, and registers that as a version.
    pub fn log_folder(&self, name: &str, folder: &Path, store: Store) -> u64 {
        self.version(json!({"do": "log_folder", "name": name, "folder": folder, "store": store.name()}))
    }

    /// Logs a model of another flavor.
    pub fn log_sklearn(&self, name: &str) -> u64 {
        self.version(json!({"do": "log_sklearn", "name": name, "store": Store::Proxied.name()}))
    }

    /// Registers any source as a version, whatever is there.
    pub fn register(&self, name: &str, source: &str) -> u64 {
        self.version(json!({"do": "register", "name": name, "source": source}))
    }

    /// Makes a model without versions.
    pub fn create_model(&self, name: &str) {
        self.call(json!({"do": "create_model", "name": name}));
    }

    /// Deletes a model with its versions; its artifacts stay.
    pub fn delete_model(&self, name: &str) {
        self.call(json!({"do": "delete_model", "name": name}));
    }

    /// Deletes a version; its artifacts stay.
    pub fn delete_version(&self, name: &str, version: u64) {
        self.call(json!({"do": "delete_version", "name": name, "version": version}));
    }

    /// Moves a version to a stage, such as `Production`.
    pub fn transition_stage(&self, name: &str, version: u64, stage: &str) {
        self.call(json!({"do": "transition_stage", "name": name, "version": version, "stage": stage}));
    }

    /// Points an alias.
    pub fn set_alias(&self, name: &str, alias: &str, version: u64) {
        self.call(json!({"do": "set_alias", "name": name, "alias": alias, "version": version}));
    }

    /// Removes an alias.
    pub fn delete_alias(&self, name: &str, alias: &str) {
        self.call(json!({"do": "delete_alias", "name": name, "alias": alias}));
    }

    /// Versions by alias.
    pub fn get_aliases(&self, name: &str) -> BTreeMap<String, u64> {
        serde_json::from_value(self.call(json!({"do": "get_aliases", "name": name}))).expect(ANSWER)
    }

    /// Has MLflow post moves of aliases to `url`, signed with `secret`; gives the webhook's id.
    pub fn create_webhook(&self, name: &str, url: &str, secret: &str) -> String {
        let id = self.call(json!({"do": "create_webhook", "name": name, "url": url, "secret": secret}));
        id.as_str().expect(ANSWER).to_owned()
    }

    /// Ends that.
    pub fn delete_webhook(&self, id: &str) {
        self.call(json!({"do": "delete_webhook", "webhook_id": id}));
    }

    /// Sets a tag of a model.
    pub fn set_model_tag(&self, name: &str, key: &str, value: &str) {
        self.call(json!({"do": "set_model_tag", "name": name, "key": key, "value": value}));
    }

    /// Removes a tag of a model.
    pub fn delete_model_tag(&self, name: &str, key: &str) {
        self.call(json!({"do": "delete_model_tag", "name": name, "key": key}));
    }

    /// Sets a tag of a version.
    pub fn set_version_tag(&self, name: &str, version: u64, key: &str, value: &str) {
        self.call(json!({"do": "set_version_tag", "name": name, "version": version, "key": key, "value": value}));
    }

    /// The tags of a version.
    pub fn get_version_tags(&self, name: &str, version: u64) -> BTreeMap<String, String> {
        serde_json::from_value(self.call(json!({"do": "get_version_tags", "name": name, "version": version})))
            .expect(ANSWER)
    }

    /// Where MLflow says that a version's files are.
    pub fn download_uri(&self, name: &str, version: u64) -> String {
        serde_json::from_value(self.call(json!({"do": "download_uri", "name": name, "version": version})))
            .expect(ANSWER)
    }

    /// The prefix of a version's objects in the bucket, without a slash at its end.
    pub fn prefix(&self, name: &str, version: u64) -> String {
        let uri = self.download_uri(name, version);
        let direct = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map(|(_, key)| key.to_owned());
        let proxied = || uri.strip_prefix("mlflow-artifacts:/").map(|path| format!("art/{path}"));
        direct.or_else(proxied).expect("one of the two stores")
    }

    /// Sizes by key of the objects whose keys begin so.
    pub fn list_objects(&self, prefix: &str) -> BTreeMap<String, u64> {
        serde_json::from_value(self.call(json!({"do": "list_objects", "prefix": prefix}))).expect(ANSWER)
    }

    /// An object of the bucket.
    pub fn get_object(&self, key: &str) -> Vec<u8> {
        let hex: String = serde_json::from_value(self.call(json!({"do": "get_object", "key": key}))).expect(ANSWER);
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    /// Writes an object of the bucket.
    pub fn put_object(&self, key: &str, content: &[u8]) {
        let mut hex = String::with_capacity(2 * content.len());
        for byte in content {
            write!(hex, "{byte:02x}").expect("a string");
        }
        self.call(json!({"do": "put_object", "key": key, "content": hex}));
    }

    /// Deletes an object of the bucket.
    pub fn delete_object(&self, key: &str) {
        self.call(json!({"do": "delete_object", "key": key}));
    }

    /// Flips a bit in the middle of an object.
    pub fn flip_byte(&self, key: &str) {
        self.call(json!({"do": "flip_byte", "key": key}));
    }

    fn version(&self, command: Value) -> u64 {
        serde_json::from_value(self.call(command)).expect(ANSWER)
    }

    #[expect(clippy::needless_pass_by_value, reason = "commands are made for this")]
    fn call(&self, command: Value) -> Value {
        // A command that failed leaves nothing half done here: the next test may go on.
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = process.commands.as_mut().expect("open until dropped");
        writeln!(commands, "{command}").expect("the registrar runs");
        let mut line = String::new();
        process.answers.read_line(&mut line).expect("readable");
        drop(process);
        let mut answer: Value =
            serde_json::from_str(&line).expect("the registrar runs; if not, registrar.log says why");
        assert!(answer.get("error").is_none(), "{command}: {}", answer["error"].as_str().unwrap_or_default());
        answer["ok"].take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when this closes.
        self.commands = None;
        let _ = self.child.wait();
    }
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Proxied => "proxied",
            Self::Direct => "direct",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::source;

    fn latest(name: &str) -> Value {
        let reply = Services::shared().mlflow_get(&format!("/api/2.0/mlflow/registered-models/get?name={name}")).ok();
        reply["registered_model"].clone()
    }

    #[test]
    fn models_are_logged_through_mlflow_and_right_to_the_bucket() {
        let registrar = Services::shared().registrar();
        let (folder, stores) = (source("curve_forecaster").join("1"), [Store::Proxied, Store::Direct]);
        let example = json!({"features": [vec![0; 16]]});
        for (version, store) in (1..).zip(stores) {
            assert_eq!(registrar.log_onnx("logged", &folder, store, Some(&example)), version);
            let prefix = registrar.prefix("logged", version);
            let objects = registrar.list_objects(&prefix);
            for file in ["MLmodel", "model.onnx", "input_example.json"] {
                assert!(objects.contains_key(&format!("{prefix}/{file}")), "{file} in {objects:?}");
            }
        }
        assert!(registrar.download_uri("logged", 1).starts_with("mlflow-artifacts:/"));
        assert!(registrar.download_uri("logged", 2).starts_with("s3://mlflow/direct/"));
        registrar.set_alias("logged", "stable", 1);
        registrar.set_alias("logged", "canary", 2);
        let expected = json!([{"alias": "canary", "version": "2"}, {"alias": "stable", "version": "1"}]);
        assert_eq!(latest("logged")["aliases"], expected);
        registrar.delete_alias("logged", "canary");
        assert_eq!(registrar.get_aliases("logged"), BTreeMap::from([("stable".to_owned(), 1)]));
        registrar.delete_version("logged", 2);
        assert_eq!(latest("logged")["latest_versions"][0]["version"], "1");
        registrar.transition_stage("logged", 1, "Production");
        assert_eq!(latest("logged")["latest_versions"][0]["current_stage"], "Production");
    }

    #[test]
    fn folders_are_logged_as_they_are_and_damaged() {
        let registrar = Services::shared().registrar();
        let folder = source("external").join("1");
        for (version, store) in (1..).zip([Store::Proxied, Store::Direct]) {
            assert_eq!(registrar.log_folder("a folder", &folder, store), version);
            let weights = format!("{}/weights.bin", registrar.prefix("a folder", version));
            let mut expected = std::fs::read(folder.join("weights.bin")).expect("a fixture");
            assert_eq!(registrar.get_object(&weights), expected);
            let middle = expected.len() / 2;
            expected[middle] ^= 1;
            registrar.flip_byte(&weights);
            assert_eq!(registrar.get_object(&weights), expected);
            registrar.put_object(&weights, b"");
            assert_eq!(registrar.get_object(&weights), b"");
            registrar.delete_object(&weights);
            assert!(registrar.list_objects(&weights).is_empty());
        }
    }

    #[test]
    fn models_have_tags_and_other_flavors() {
        let registrar = Services::shared().registrar();
        assert_eq!(registrar.log_sklearn("tagged"), 1);
        let model_file = format!("{}/MLmodel", registrar.prefix("tagged", 1));
        assert!(String::from_utf8_lossy(&registrar.get_object(&model_file)).contains("sklearn"));
        registrar.set_model_tag("tagged", "perch", "true");
        assert_eq!(latest("tagged")["tags"], json!([{"key": "perch", "value": "true"}]));
        registrar.delete_model_tag("tagged", "perch");
        assert_eq!(latest("tagged").get("tags"), None);
        registrar.set_version_tag("tagged", 1, "state", "ready");
        let expected = BTreeMap::from([("state".to_owned(), "ready".to_owned())]);
        assert_eq!(registrar.get_version_tags("tagged", 1), expected);
        registrar.delete_model("tagged");
        assert!(latest_is_missing("tagged"));
    }

    fn latest_is_missing(name: &str) -> bool {
        let path = format!("/api/2.0/mlflow/registered-models/get?name={name}");
        Services::shared().mlflow_get(&path).status == 404
    }

    #[test]
    #[should_panic(expected = "RESOURCE_DOES_NOT_EXIST")]
    fn a_command_that_fails_ends_the_test() {
        Services::shared().registrar().set_alias("nobody", "stable", 1);
    }
}
