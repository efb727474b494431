//! MLflow's own webhooks: a change in the registry is followed long before the next poll.

use perch_testkit::process::command;
use perch_testkit::{PerchProcess, Services, Store, models, wait};
use serde_json::{Value, json};

use crate::PERCH;

const SECRET: &str = "webhook/secret+1";

#[test]
fn mlflows_webhook_is_followed_at_once_and_nobody_elses() {
    let services = Services::shared();
    let (registrar, name) = (services.registrar(), "webhooked");
    for version in 1..=2 {
        registrar.log_onnx(name, &models::source("curve_forecaster").join(version.to_string()), Store::Proxied, None);
    }
    registrar.set_alias(name, "stable", 1);
    let cache = tempfile::tempdir().expect("a folder");
    let mut serve = command(PERCH, &["serve", "--mlflow", services.mlflow(), "--model", name]);
    serve.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--cache"]).arg(cache.path());
    serve.env("PERCH__REGISTRY__POLL", "1h").env("PERCH__SERVER__ADMIN_TOKEN", SECRET);
    let perch = PerchProcess::spawn(&mut serve);
    perch.wait_ready();

    let url = format!("http://{}/admin/webhooks/mlflow", perch.address());
    let webhook = registrar.create_webhook("perch", &url, SECRET);
    registrar.set_alias(name, "stable", 2);
    wait::until_true("version 2", || stable(&perch) == "2");
    registrar.delete_webhook(&webhook);

    // Without the signature, or with another secret's, it is nobody's to use.
    let event = json!({"entity": "model_version_alias", "action": "created", "data": {"name": name}}).to_string();
    let refused = perch.client().request("POST", "/admin/webhooks/mlflow", &[], event.as_bytes());
    assert_eq!(refused.error(401).0, "unauthorized");
    let bearer = format!("Bearer {SECRET}");
    let post = |body: &str| {
        let headers = [("authorization", bearer.as_str())];
        perch.client().request("POST", "/admin/webhooks/mlflow", &headers, body.as_bytes())
    };
    assert_eq!(post(&event).status, 202);
    let (_, message) = post("{\"entity\": \"experiment\", \"data\": {}}").error(400);
    assert!(message.contains("data.name: expected a model's name"), "{message}");
}

fn stable(perch: &PerchProcess) -> String {
    let all: Value = perch.client().get("/health/all").ok();
    all["models"][0]["versions"][0]["version"].as_str().expect("a version").to_owned()
}
