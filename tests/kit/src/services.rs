//! Real MLflow and MinIO, by `scripts/services`. They end with the process that started them, however it ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::registrar::Registrar;
use crate::runner::Runner;
use crate::{Client, Reply};

/// MLflow with its artifacts in a bucket of MinIO, both with data of their own. Killed when dropped.
pub struct Services {
    runner: Runner,
    described: Value,
    registrar: OnceLock<Registrar>,
}

impl Services {
    /// Those that all tests of this process share, started by the first one: names of models are the tests' to keep
    /// apart, and nobody stops them.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Services> = OnceLock::new();
        SHARED.get_or_init(Self::own)
    }

    /// Some of the test's own, to be stopped and started again.
    pub fn own() -> Self {
        let (runner, described) = Runner::start("services", &["run"]);
        Self { runner, described, registrar: OnceLock::new() }
    }

    /// The URL of MLflow, without a slash at its end.
    pub fn mlflow(&self) -> &str {
        self.text("mlflow")
    }

    /// The URL of MinIO, without a slash at its end.
    pub fn minio(&self) -> &str {
        self.text("minio")
    }

    /// Where MLflow listens.
    pub fn mlflow_address(&self) -> SocketAddr {
        address(self.mlflow())
    }

    /// Where MinIO listens.
    pub fn minio_address(&self) -> SocketAddr {
        address(self.minio())
    }

    /// The bucket's key.
    pub fn access_key(&self) -> &str {
        self.text("access_key")
    }

    /// The key's secret.
    pub fn secret_key(&self) -> &str {
        self.text("secret_key")
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        self.text("bucket")
    }

    /// A Python that has mlflow and boto3.
    pub fn python(&self) -> &Path {
        Path::new(self.text("python"))
    }

    /// Where the data and the logs are: `mlflow.log`, `minio.log` and `registrar.log`.
    pub fn folder(&self) -> PathBuf {
        self.text("folder").into()
    }

    /// A Python process that registers models, started when it is first used.
    pub fn registrar(&self) -> &Registrar {
        self.registrar.get_or_init(|| Registrar::start(self))
    }

    /// Gets a path from MLflow, which takes no other `Host` than its own: [`Client::get`] is refused.
    pub fn mlflow_get(&self, path: &str) -> Reply {
        let mut client = Client::new(self.mlflow_address());
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.mlflow_address());
        client.send(request.as_bytes()).expect("sent");
        client.receive().expect("an answer").expect("an answer")
    }

    /// Ends MLflow in order.
    pub fn stop_mlflow(&self) {
        self.command("stop mlflow");
    }

    /// Ends MLflow at once.
    pub fn kill_mlflow(&self) {
        self.command("kill mlflow");
    }

    /// Starts MLflow again where it was, and waits until it answers: 6 s.
    pub fn start_mlflow(&self) {
        self.command("start mlflow");
    }

    /// Ends MinIO in order.
    pub fn stop_minio(&self) {
        self.command("stop minio");
    }

    /// Ends MinIO at once.
    pub fn kill_minio(&self) {
        self.command("kill minio");
    }

    /// Starts MinIO again where it was, and waits until it answers: 0.5 s.
    pub fn start_minio(&self) {
        self.command("start minio");
    }

    fn command(&self, line: &str) {
        self.runner.command(line);
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.described[key].as_str().expect("part of what scripts/services prints")
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_come_back_where_they_were_with_what_they_had() {
        let services = Services::own();
        let (registrar, mlflow) = (services.registrar(), services.mlflow().to_owned());
        registrar.create_model("kept");
        registrar.put_object("kept/object", b"content");
        services.kill_mlflow();
        services.kill_minio();
        assert!(Client::new(services.mlflow_address()).connect().is_err());
        assert!(Client::new(services.minio_address()).connect().is_err());
        services.start_minio();
        services.start_mlflow();
        let reply = services.mlflow_get("/api/2.0/mlflow/registered-models/get?name=kept").ok();
        assert_eq!(reply["registered_model"]["name"], "kept");
        assert_eq!(registrar.get_object("kept/object"), b"content");
        assert_eq!(services.mlflow(), mlflow);
        let (address, folder) = (services.mlflow_address(), services.folder());
        drop(services);
        assert!(Client::new(address).connect().is_err(), "they end when they are dropped");
        assert!(!folder.exists());
    }
}
