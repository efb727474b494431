//! The calls that text-embeddings-inference documents, by the real curl, with only host and port changed.
//!
//! Source: `README.md` and `docs/source/en/quick_tour.md` of `huggingface/text-embeddings-inference`.

use std::net::SocketAddr;
use std::process::Command;

use perch_testkit::minilm::NAME;
use perch_testkit::{Models, json};
use serde_json::Value;

use super::{list, patient, shared, vector, vectors};

const EMBED: &str = r#"curl 127.0.0.1:8080/embed \
    -X POST \
    -d '{"inputs":"What is Deep Learning?"}' \
    -H 'Content-Type: application/json'"#;
const EMBED_BATCH: &str = r#"curl 127.0.0.1:8080/embed \
    -X POST \
    -d '{"inputs":["Today is a nice day", "I like you"]}' \
    -H 'Content-Type: application/json'"#;
const RERANK: &str = r#"curl 127.0.0.1:8080/rerank \
    -X POST \
    -d '{"query":"What is Deep Learning?", "texts": ["Deep Learning is not...", "Deep learning is..."]}' \
    -H 'Content-Type: application/json'"#;
const RERANK_RAW: &str = r#"curl 127.0.0.1:8080/rerank \
    -X POST \
    -d '{"query": "What is Deep Learning?", "texts": ["Deep Learning is not...", "Deep learning is..."], "raw_scores": false}' \
    -H 'Content-Type: application/json'"#;
const PREDICT: &str = r#"curl 127.0.0.1:8080/predict \
    -X POST \
    -d '{"inputs":"I like you."}' \
    -H 'Content-Type: application/json'"#;
const PREDICT_BATCH: &str = r#"curl 127.0.0.1:8080/predict \
    -X POST \
    -d '{"inputs":[["I like you."], ["I hate pineapples"]]}' \
    -H 'Content-Type: application/json'"#;
/// Without its header it is a form, says curl.
const NO_HEADER: &str = r#"curl 127.0.0.1:8080/embed -d '{"inputs":"What is Deep Learning?"}'"#;

/// Runs a documented call, and gives what it prints.
fn curl(call: &str, address: SocketAddr) -> Value {
    assert!(call.contains("127.0.0.1:8080"), "{call}");
    let call = call.replace("127.0.0.1:8080", &address.to_string());
    let mut bash = Command::new("bash");
    bash.args(["-c", &call]).env("NO_PROXY", "127.0.0.1").env("CURL_HOME", "/nonexistent");
    let output = bash.output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{call}: {} {said}; is curl there? apt-get install curl", output.status);
    let text = || String::from_utf8_lossy(&output.stdout).into_owned();
    json::parse(&output.stdout).map_err(|error| format!("{error} in {}", text())).expect("JSON")
}

#[test]
fn embed_as_documented() {
    let server = shared();
    let [one, batch, form] = [EMBED, EMBED_BATCH, NO_HEADER].map(|call| vectors(&curl(call, server.address())));
    assert_eq!((one.len(), batch.len(), form.len()), (1, 2, 1));
    assert!(one.iter().chain(&batch).all(|row| row.len() == 384));
    assert!(super::distance(&one[0], &form[0]) < 1e-6);
    assert!(super::distance(&batch[0], &batch[1]) > 0.01, "two texts, two embeddings");
    let call = r#"curl 127.0.0.1:8080/similarity -X POST -H 'Content-Type: application/json' -d '{"inputs":{
        "source_sentence":"What is Deep Learning?","sentences":["What is Machine Learning?","I like you"]}}'"#;
    let cosines = vector(&curl(call, server.address()));
    assert_eq!(cosines.len(), 2);
    assert!(cosines[0] > 0.5 && cosines[0] > cosines[1] + 0.2, "{cosines:?}");
}

/// As OpenAI's own reference has it, but for the address, the key and the model's name.
#[test]
fn openai_embeddings_as_documented() {
    let call = format!(
        r#"curl http://127.0.0.1:8080/v1/embeddings \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{{
    "input": "The food was delicious and the waiter...",
    "model": "{NAME}",
    "encoding_format": "float"
  }}'"#
    );
    let answer = curl(&call, shared().address());
    assert_eq!((&answer["object"], &answer["model"]), (&"list".into(), &NAME.into()), "{answer}");
    assert_eq!(vector(&answer["data"][0]["embedding"]).len(), 384);
}

#[test]
fn rerank_as_documented() {
    let server = patient(Models::with(&["toy_reranker"]), &["toy_reranker"]);
    for call in [RERANK, RERANK_RAW] {
        let answer = curl(call, server.address());
        let mut ranks: Vec<u64> =
            answer.as_array().expect("a list").iter().filter_map(|r| r["index"].as_u64()).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1], "{answer}");
        let score = |at: usize| answer[at]["score"].as_f64().expect("a score");
        assert!(1.0 > score(0) && score(0) >= score(1) && score(1) > 0.0, "{answer}");
    }
}

#[test]
fn predict_as_documented() {
    let server = patient(Models::with(&["toy_classifier"]), &["toy_classifier"]);
    let one = curl(PREDICT, server.address());
    let batch = curl(PREDICT_BATCH, server.address());
    assert_eq!(batch.as_array().map(Vec::len), Some(2), "{batch}");
    for scores in [&one, &batch[0], &batch[1]] {
        let scores = list(scores);
        let sum: f64 = scores.iter().filter_map(|one| one["score"].as_f64()).sum();
        assert!(scores.len() == 3 && (sum - 1.0).abs() < 1e-5, "{scores:?}");
        assert!(scores.iter().all(|one| one["label"].is_string()), "{scores:?}");
    }
    assert_eq!(one[0]["label"], batch[0][0]["label"], "the same text: {one}, {batch}");
}
