//! MLflow as companies run it: behind TLS by an authority of their own, and a password or a token.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use perch_testkit::models::root;
use perch_testkit::process::command;
use perch_testkit::{PerchProcess, Services, Store, models, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::PERCH;

/// `tests/kit/guard.py`, in front of MLflow.
struct Guard {
    child: Child,
    url: String,
    ca: String,
    _folder: TempDir,
}

impl Guard {
    fn start(services: &Services, authorization: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(services.python())
            .arg(root().join("tests/kit/guard.py"))
            .arg(services.mlflow_address().to_string())
            .arg(folder.path())
            .arg(authorization)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let text = |key: &str| told[key].as_str().expect("text").to_owned();
        Self { child, url: text("url"), ca: text("ca"), _folder: folder }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(guard: &Guard, name: &str, variables: &[(&str, &str)]) -> (PerchProcess, TempDir) {
    let cache = tempfile::tempdir().expect("a folder");
    let mut serve = command(PERCH, &["serve", "--mlflow", &guard.url, "--model", name]);
    serve.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--cache"]).arg(cache.path());
    serve.envs(variables.iter().copied());
    (PerchProcess::spawn(&mut serve), cache)
}

/// What /health/all says is wrong with the registry.
fn registry_error(perch: &PerchProcess) -> String {
    wait::until("an error", || {
        let all: Value = perch.client().get("/health/all").ok();
        all["registry"]["error"].as_str().map(str::to_owned)
    })
}

#[test]
fn an_authority_and_a_password_or_token_are_what_it_takes() {
    let services = Services::shared();
    let (registrar, name) = (services.registrar(), "guarded");
    registrar.log_onnx(name, &models::source("curve_forecaster").join("1"), Store::Proxied, None);
    registrar.set_alias(name, "stable", 1);

    // base64("team:p@ss:word")
    let basic = Guard::start(services, "Basic dGVhbTpwQHNzOndvcmQ=");
    let bearer = Guard::start(services, "Bearer t0ken");
    let (ca, token) = (("MLFLOW_TRACKING_SERVER_CERT_PATH", basic.ca.as_str()), ("MLFLOW_TRACKING_TOKEN", "t0ken"));
    let (user, password) = (("MLFLOW_TRACKING_USERNAME", "team"), ("MLFLOW_TRACKING_PASSWORD", "p@ss:word"));

    serve(&basic, name, &[ca, user, password]).0.wait_ready();
    serve(&basic, name, &[("MLFLOW_TRACKING_INSECURE_TLS", "true"), user, password]).0.wait_ready();
    let bearer_ca = ("MLFLOW_TRACKING_SERVER_CERT_PATH", bearer.ca.as_str());
    serve(&bearer, name, &[bearer_ca, token]).0.wait_ready();

    let (unknown, _cache) = serve(&basic, name, &[user, password]);
    let error = registry_error(&unknown);
    assert!(error.contains("cannot be asked") && error.contains("certificate"), "{error}");
    let (wrong, _cache) = serve(&basic, name, &[ca, user, ("MLFLOW_TRACKING_PASSWORD", "wrong-secret")]);
    let error = registry_error(&wrong);
    assert!(error.contains("401 Unauthorized: who are you?"), "{error}");
    let told = [wrong.log().join("\n"), wrong.client().get("/health/all").text().to_owned()].concat();
    assert!(!told.contains("wrong-secret"), "a password is told to nobody");
}
