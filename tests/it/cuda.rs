//! GPUs: what is served on one, where there is one; and what is said where there is none.

#![expect(clippy::print_stderr, reason = "a test that could not be run says why")]

use std::path::Path;
use std::process::Command;

use perch_testkit::json::close;
use perch_testkit::process::{command, run};
use perch_testkit::{Models, PerchProcess, TestServer, runtime};
use serde_json::{Value, json};

use crate::PERCH;

/// `perch` with these arguments, over `models` and with this library.
pub fn perch(library: &Path, arguments: &[&str], models: &Models) -> Command {
    let mut command = command(PERCH, arguments);
    command.arg("--models").arg(models.path()).env("PERCH__RUNTIME__LIBRARY", library);
    command
}

/// `perch serve` on a device, with this library.
pub fn serve(library: &Path, models: &Models, more: &[&str]) -> PerchProcess {
    let arguments = [&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"], more].concat();
    let server = PerchProcess::spawn(&mut perch(library, &arguments, models));
    server.wait_ready();
    server
}

/// The messages of a server's warnings.
pub fn warnings(server: &PerchProcess) -> Vec<String> {
    let parsed = server.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let warnings = parsed.filter(|line| line["level"] == "WARN");
    warnings.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Some rows of tokens for the models of texts, the second padded.
pub fn tokens(model: &str) -> Value {
    json!({"model": model, "inputs": {
        "input_ids": [[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        "token_type_ids": [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    }})
}

/// The server answers what one on the CPU does, for a model of numbers and one of texts.
pub fn assert_answers_as_the_cpu(server: &PerchProcess) {
    let cpu = TestServer::with(&["external", "toy_embedder"]);
    let numbers = json!({"model": "external", "instances": [[1, 1, 1, 1], [0, 0, 0, 2]]});
    for body in [numbers, tokens("toy_embedder")] {
        let (got, expected) = (server.client().predict(&body).ok(), cpu.predict(&body).ok());
        assert!(close(&got, &expected, 1e-4), "got {got}, expected {expected}");
    }
}

#[test]
fn a_gpu_answers_as_the_cpu_does() {
    match runtime::cuda() {
        Ok(library) => {
            let models = Models::with(&["external", "toy_embedder"]);
            let server = serve(&library, &models, &["--device", "cuda"]);
            assert_answers_as_the_cpu(&server);
            server.stop();
        }
        Err(why) => eprintln!("not run: models on a GPU, as {why}"),
    }
}

#[test]
fn a_gpu_that_is_asked_for_and_not_there_is_a_reason_not_to_start() {
    let models = Models::with(&["external"]);
    for arguments in [["serve", "--device", "cuda:7"].as_slice(), &["models", "verify", "--device", "cuda:7"]] {
        let ended = run(&mut perch(&runtime::cpu(), arguments, &models));
        assert_eq!(ended.code, Some(69), "{ended:?}");
        for part in ["device cuda:7: the ONNX Runtime in ", "has no such provider; run scripts/onnxruntime --gpu"] {
            assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        }
    }
}

#[test]
fn auto_falls_back_to_the_cpu_with_one_warning() {
    // A library without CUDA beside which there seems to be a provider: as the one for GPUs on a machine without any.
    let dir = tempfile::tempdir().expect("a folder");
    let library = dir.path().join("libonnxruntime.so");
    std::fs::copy(runtime::cpu(), &library).expect("copied");
    std::fs::write(dir.path().join("libonnxruntime_providers_cuda.so"), "").expect("written");
    let models = Models::with(&["external", "iris", "heavy"]);
    let server = serve(&library, &models, &["--device", "auto"]);
    let found = warnings(&server);
    let about: Vec<&String> = found.iter().filter(|message| message.contains("CUDA")).collect();
    assert_eq!(about, ["no CUDA device is usable: device auto computes on the CPU"], "{found:?}");
    assert_eq!(server.client().predict(&json!({"model": "external", "instances": [[1, 1, 1, 1]]})).status, 200);
    server.stop();
    let ended = run(&mut perch(&library, &["serve", "--device", "cuda"], &models));
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("device cuda:0: CUDA execution provider is not enabled"), "{ended:?}");
}

#[test]
fn auto_says_nothing_where_nobody_misses_a_gpu() {
    if Path::new("/proc/driver/nvidia/version").exists() {
        eprintln!("not run: device auto without a GPU, as this machine has one");
        return;
    }
    let models = Models::with(&["external"]);
    let server = serve(&runtime::cpu(), &models, &["--device", "auto"]);
    assert_eq!(warnings(&server), [] as [String; 0]);
    server.stop();
}
