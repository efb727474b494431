//! The real clients, unmodified: scripts of tests/clients, which check what they are given.

use std::net::SocketAddr;
use std::process::Command;

use perch_testkit::minilm::{self, NAME, Reference};
use perch_testkit::models::root;
use perch_testkit::{Models, TestServer, scripts};

use super::{patient, shared};

/// Runs a script to its end, which is 0 where everything is as it should be.
fn run(script: &str, address: SocketAddr, model: &str) {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(scripts::clients());
    command.arg(root().join("tests/clients").join(script));
    command.args(["--url", &format!("http://{address}"), "--model", model, "--reference"]).arg(Reference::path());
    // Nothing of the user's: no proxy, no token, no other address.
    command.env_clear().env("HOME", home.path()).env("HF_HOME", home.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{script}: {}\n{said}{}", output.status, text(&output.stderr));
    assert!(said.contains(": as expected"), "{script} has checked nothing: {said}");
}

#[test]
fn the_openai_client_works_unmodified() {
    run("openai_client.py", shared().address(), NAME);
}

#[test]
fn the_inference_client_of_huggingface_hub_works_unmodified() {
    run("hub_client.py", shared().address(), NAME);
}

#[test]
fn the_inference_client_reads_a_classifiers_answers() {
    let server = patient(Models::with(&["toy_classifier"]), &["toy_classifier"]);
    run("hub_classifier.py", server.address(), "toy_classifier");
}

#[test]
fn the_openai_client_is_told_when_to_come_back() {
    let yaml = format!("models:\n- {{name: {NAME}, batching: {{maxQueue: 20ms}}}}\n");
    let server = TestServer::builder(minilm::models_fp32()).yaml(&yaml).ready();
    run("openai_overload.py", server.address(), NAME);
}
