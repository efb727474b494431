//! Texts: embeddings, scores and tokens, over the protocols that clients speak and by the clients themselves.

mod cache;
mod clients;
mod curl;
mod endpoints;
mod errors;
mod fixtures;
mod memory;
mod mixes;
mod openai;
mod overload;
mod reference;
mod rollout;
mod scores;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use perch_testkit::{Client, Models, Reply, TestServer, minilm};
use serde_json::{Value, json};

/// What an embedding may differ by from its reference, whatever it travelled with.
const TOLERANCE: f64 = 1e-4;
/// A queue that no test here fills, on however slow a machine.
const PATIENT: &str = "60s";

/// A server of MiniLM in fp32, ready. Tests that run at the same time share it; it goes with the last of them.
fn shared() -> Arc<TestServer> {
    static SHARED: Mutex<Weak<TestServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(patient(minilm::models_fp32(), &[minilm::NAME]));
        *shared = Arc::downgrade(&server);
        server
    })
}

/// A server of these models, ready, whose requests may wait for long.
fn patient(models: Models, names: &[&str]) -> TestServer {
    let entry = |name: &&str| format!("- {{name: {name}, batching: {{maxQueue: {PATIENT}}}}}\n");
    let yaml: String = names.iter().map(entry).collect();
    TestServer::builder(models).yaml(&format!("models:\n{yaml}")).set("server.requestTimeout", PATIENT).ready()
}

/// Posts JSON.
fn post(client: &mut Client, path: &str, body: &Value) -> Reply {
    client.request("POST", path, &[], body.to_string().as_bytes())
}

/// Embeds texts by `/embed`, with further parameters.
fn embed(client: &mut Client, texts: &[impl AsRef<str>], more: &Value) -> Reply {
    let inputs: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let mut body = json!({"inputs": inputs, "truncate": true});
    for (key, value) in more.as_object().expect("parameters") {
        body[key] = value.clone();
    }
    post(client, "/embed", &body)
}

/// A list.
fn list(value: &Value) -> &[Value] {
    value.as_array().ok_or_else(|| value.to_string()).expect("a list")
}

/// Numbers.
fn vector(value: &Value) -> Vec<f64> {
    let number = |value: &Value| value.as_f64().expect("a finite number");
    list(value).iter().map(number).collect()
}

/// Rows of numbers.
fn vectors(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().map(vector).collect()
}

/// The largest difference of two vectors; infinite where their lengths differ.
fn distance(one: &[f64], two: &[f64]) -> f64 {
    if one.len() != two.len() {
        return f64::INFINITY;
    }
    one.iter().zip(two).map(|(one, two)| (one - two).abs()).fold(0.0, f64::max)
}

/// Ends the test where two vectors differ by more than they may.
fn assert_near(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let distance = distance(got, expected);
    assert!(distance <= tolerance, "{what}: differs by {distance}, {} values: {got:?}", got.len());
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The same direction, of length 1.
fn normalised(vector: &[f64]) -> Vec<f64> {
    let norm = norm(vector);
    vector.iter().map(|value| value / norm).collect()
}

fn cosine(one: &[f64], two: &[f64]) -> f64 {
    one.iter().zip(two).map(|(one, two)| one * two).sum::<f64>() / norm(one) / norm(two)
}

/// The message of a failure in the shape of text-embeddings-inference: these two keys and no others.
fn tei_error(reply: &Reply, status: u16, kind: &str) -> String {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "error and error_type: {body}");
    assert_eq!(body["error_type"], kind, "{body}");
    assert!(reply.header("x-request-id").is_some(), "{:?}", reply.headers);
    let message = body["error"].as_str().filter(|text| !text.is_empty());
    message.ok_or_else(|| body.to_string()).expect("a message").to_owned()
}

/// The message of a failure in the shape of OpenAI: one object with four keys.
fn openai_error(reply: &Reply, status: u16, kind: &str) -> String {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    let error = body["error"].as_object().ok_or_else(|| body.to_string()).expect("an error");
    let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"], "{body}");
    assert_eq!(error["type"], kind, "{body}");
    let message = error["message"].as_str().filter(|text| !text.is_empty());
    message.ok_or_else(|| body.to_string()).expect("a message").to_owned()
}

/// What an answer says of who gave it: model, version and track.
fn who(reply: &Reply) -> [&str; 3] {
    ["x-perch-model", "x-perch-version", "x-perch-track"].map(|name| reply.header(name).unwrap_or("nobody"))
}
