//! What is wrong with a request is said as text-embeddings-inference says it: status, kind, and what was expected.

use perch_testkit::minilm::NAME;
use perch_testkit::{Client, Models, TestServer};
use serde_json::{Value, json};

use super::{patient, post, shared, tei_error};

/// What the client can put right; `Empty` has a status of its own.
const VALIDATION: (u16, &str) = (422, "Validation");
const EMPTY: (u16, &str) = (400, "Empty");
const TOO_LARGE: (u16, &str) = (413, "Validation");
const UNKNOWN_MODEL: (u16, &str) = (404, "Validation");
/// A model that is there, and takes no texts.
const NO_TEXTS: (u16, &str) = (404, "Validation");

/// Asks for what is refused so, with these words in the message.
fn refused(client: &mut Client, path: &str, body: &Value, (status, kind): (u16, &str), words: &[&str]) {
    let reply = post(client, path, body);
    let message = tei_error(&reply, status, kind);
    for word in words {
        assert!(message.contains(word), "{path} {body}: no \"{word}\" in \"{message}\"");
    }
    // A kept connection is as good as before.
    assert!(!reply.closes(), "{path} {body}");
}

#[test]
fn what_is_empty_is_refused() {
    let server = shared();
    let mut client = server.client();
    let empty = ["empty"];
    for path in ["/embed", "/embed_all", "/", "/tokenize"] {
        for inputs in [json!(""), json!([]), json!([""]), json!(["a", ""])] {
            refused(&mut client, path, &json!({"inputs": inputs}), EMPTY, &empty);
        }
    }
    refused(&mut client, "/decode", &json!({"ids": []}), EMPTY, &empty);
    let body = json!({"inputs": {"source_sentence": "a", "sentences": []}});
    refused(&mut client, "/similarity", &body, EMPTY, &empty);
    let body = json!({"inputs": {"source_sentence": "", "sentences": ["a"]}});
    refused(&mut client, "/similarity", &body, EMPTY, &empty);
}

#[test]
fn what_is_too_long_is_refused_with_the_limit_and_what_came() {
    let server = shared();
    let mut client = server.client();
    // A token each, and two special ones.
    let long = "word ".repeat(300);
    let words = ["256", "302"];
    for path in ["/embed", "/embed_all", "/"] {
        refused(&mut client, path, &json!({"inputs": long}), VALIDATION, &words);
        refused(&mut client, path, &json!({"inputs": ["a", long]}), VALIDATION, &words);
        assert_eq!(post(&mut client, path, &json!({"inputs": long, "truncate": true})).status, 200, "{path}");
    }
    let ids: Vec<u32> = vec![1037; 257];
    refused(&mut client, "/embed", &json!({"inputs": ids}), VALIDATION, &["256", "257"]);
    // So much that it is not even split: 250 characters for each token.
    refused(&mut client, "/embed", &json!({"inputs": "a".repeat(64_001)}), VALIDATION, &["64000", "64001"]);
    let body = json!({"inputs": {"source_sentence": "a", "sentences": ["a", long]}});
    refused(&mut client, "/similarity", &body, VALIDATION, &words);
}

#[test]
fn what_has_the_wrong_type_is_refused_by_name() {
    let server = shared();
    let mut client = server.client();
    let inputs = ["inputs"];
    for path in ["/embed", "/embed_all", "/tokenize"] {
        for body in [json!({}), json!({"inputs": null}), json!({"inputs": 1.5}), json!({"inputs": {"a": "b"}})] {
            refused(&mut client, path, &body, VALIDATION, &inputs);
        }
        for mixed in [json!(["a", null]), json!([["a"]]), json!([[1], true]), json!([-1]), json!([4_294_967_296_u64])] {
            refused(&mut client, path, &json!({"inputs": mixed}), VALIDATION, &inputs);
        }
    }
    let with = |key: &str, value: Value| json!({"inputs": "a", key: value});
    refused(&mut client, "/embed", &with("truncate", json!("yes")), VALIDATION, &["truncate"]);
    refused(&mut client, "/embed", &with("truncation_direction", json!("up")), VALIDATION, &["truncation_direction"]);
    refused(&mut client, "/embed", &with("normalize", json!(1)), VALIDATION, &["normalize"]);
    refused(&mut client, "/embed", &with("prompt_name", json!(7)), VALIDATION, &["prompt_name"]);
    refused(&mut client, "/embed", &with("dimensions", json!("64")), VALIDATION, &["dimensions"]);
    refused(&mut client, "/similarity", &json!({"inputs": "a"}), VALIDATION, &inputs);
    let body = json!({"inputs": {"source_sentence": "a"}});
    refused(&mut client, "/similarity", &body, VALIDATION, &["sentences"]);
    refused(&mut client, "/decode", &json!({"ids": "a"}), VALIDATION, &["ids"]);
    for body in ["", "{", "[]", "\"a\"", "{\"inputs\": \"a\"} more", "{\"inputs\": \"\\ud800\"}"] {
        let reply = client.request("POST", "/embed", &[], body.as_bytes());
        tei_error(&reply, VALIDATION.0, VALIDATION.1);
    }
}

#[test]
fn what_the_model_does_not_have_is_refused_with_what_it_has() {
    let server = shared();
    let mut client = server.client();
    let body = |key: &str, value: Value| json!({"inputs": "a", key: value});
    refused(&mut client, "/embed", &body("prompt_name", json!("query")), VALIDATION, &["query", "no prompts"]);
    refused(&mut client, "/embed", &body("dimensions", json!(385)), VALIDATION, &["384", "385"]);
    refused(&mut client, "/embed", &body("dimensions", json!(0)), VALIDATION, &["dimensions"]);
    refused(&mut client, "/embed", &json!({"inputs": [[30_522]]}), VALIDATION, &["30522"]);
    refused(&mut client, "/decode", &json!({"ids": [30_522]}), VALIDATION, &["30522"]);
    let server = patient(Models::with(&["toy_embedder"]), &["toy_embedder"]);
    let mut client = server.client();
    let words = ["passage", "document", "query"];
    refused(&mut client, "/embed", &body("prompt_name", json!("passage")), VALIDATION, &words);
}

/// Each task with the endpoints that belong to another.
#[test]
fn a_model_of_another_task_is_refused() {
    let embedding = json!({"inputs": "a"});
    let similarity = json!({"inputs": {"source_sentence": "a", "sentences": ["b"]}});
    let rerank = json!({"query": "a", "texts": ["b"]});
    for (model, wrong) in [
        ("toy_embedder", vec![("/rerank", &rerank)]),
        ("toy_embedder_pooled", vec![("/rerank", &rerank)]),
        (
            "toy_classifier",
            vec![
                ("/embed", &embedding),
                ("/embed_all", &embedding),
                ("/similarity", &similarity),
                ("/rerank", &rerank),
            ],
        ),
        ("toy_reranker", vec![("/embed", &embedding), ("/embed_all", &embedding), ("/similarity", &similarity)]),
    ] {
        let server = patient(Models::with(&[model]), &[model]);
        for (path, body) in wrong {
            refused(&mut server.client(), path, body, VALIDATION, &[model, "gives"]);
        }
    }
}

#[test]
fn a_model_that_takes_no_texts_is_refused() {
    let server = patient(Models::with(&["external"]), &["external"]);
    let mut client = server.client();
    for path in ["/embed", "/embed_all", "/tokenize", "/"] {
        refused(&mut client, path, &json!({"inputs": "a"}), NO_TEXTS, &["external"]);
    }
    refused(&mut client, "/rerank", &json!({"query": "a", "texts": ["b"]}), NO_TEXTS, &["external"]);
    // It goes on taking what it takes.
    assert_eq!(post(&mut client, "/predict", &json!({"instances": [[1, 2, 3, 4]]})).ok()["predictions"], json!([30.5]));
}

#[test]
fn one_bad_text_spoils_its_own_request_only() {
    let server = shared();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client();
            for _ in 0..20 {
                refused(&mut client, "/embed", &json!({"inputs": ["a", ""]}), EMPTY, &["empty"]);
            }
        });
        scope.spawn(|| {
            let mut client = server.client();
            for _ in 0..20 {
                assert_eq!(post(&mut client, "/embed", &json!({"inputs": ["a", "b"]})).status, 200);
            }
        });
    });
}

#[test]
fn a_model_has_to_be_named_where_there_are_several() {
    let server = shared();
    let mut client = server.client();
    for path in ["/embed", "/tokenize", "/embed_all"] {
        refused(&mut client, path, &json!({"inputs": "a", "model": "nobody"}), UNKNOWN_MODEL, &["nobody"]);
        assert_eq!(post(&mut client, path, &json!({"inputs": "a", "model": NAME})).status, 200, "{path}");
    }
    let names = ["toy_embedder", "toy_embedder_last"];
    let server = patient(Models::with(&names), &names);
    let mut client = server.client();
    for path in ["/embed", "/embed_all", "/tokenize", "/"] {
        refused(&mut client, path, &json!({"inputs": "a"}), VALIDATION, &["model"]);
    }
    refused(&mut client, "/embed", &json!({"inputs": "a", "model": 7}), VALIDATION, &["model"]);
}

#[test]
fn a_body_that_is_too_large_is_refused_in_the_same_shape() {
    let models = Models::with(&["toy_embedder"]);
    let server = TestServer::builder(models).set("server.maxBody", "1KiB").ready();
    let body = json!({"inputs": "a ".repeat(1000), "truncate": true});
    for path in ["/embed", "/embed_all", "/rerank", "/similarity", "/tokenize", "/decode", "/"] {
        tei_error(&post(&mut server.client(), path, &body), TOO_LARGE.0, TOO_LARGE.1);
    }
}

#[test]
fn brackets_end_no_process() {
    let server = patient(Models::with(&["toy_classifier"]), &["toy_classifier"]);
    for path in ["/predict", "/embed", "/embed_all", "/rerank", "/similarity", "/tokenize", "/decode", "/"] {
        let body = format!("{{\"inputs\": {}", "[".repeat(100_000));
        let reply = server.client().request("POST", path, &[], body.as_bytes());
        assert!([400, 422].contains(&reply.status), "{path}: {} {}", reply.status, reply.text());
    }
    assert_eq!(post(&mut server.client(), "/predict", &json!({"inputs": "a"})).status, 200);
}

#[test]
fn more_text_than_can_be_shown_is_refused() {
    let server = patient(Models::with(&["toy_embedder"]), &["toy_embedder"]);
    let mut client = server.client();
    let text = "a ".repeat(1100);
    let body = json!({"inputs": vec![text; 2048]});
    refused(&mut client, "/tokenize", &body, TOO_LARGE, &["4194304 bytes"]);
}

#[test]
fn texts_are_named_as_in_the_request() {
    let server = patient(Models::with(&["toy_reranker"]), &["toy_reranker"]);
    let long = "word ".repeat(2000);
    let body = json!({"query": "a", "texts": ["b", long]});
    refused(&mut server.client(), "/rerank", &body, VALIDATION, &["texts[1]: "]);
    let server = shared();
    let mut client = server.client();
    let body = json!({"inputs": {"source_sentence": "a", "sentences": ["a", long]}});
    refused(&mut client, "/similarity", &body, VALIDATION, &["inputs.sentences[1]: "]);
    let reply = post(&mut client, "/v1/embeddings", &json!({"input": ["a", long]}));
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("input[1]: `input` must have less than"), "{}", reply.text());
}

#[test]
fn other_methods_and_paths_are_refused() {
    let server = shared();
    let mut client = server.client();
    for path in ["/embed", "/rerank", "/similarity", "/tokenize", "/decode", "/embed_all", "/v1/embeddings"] {
        assert_eq!(client.get(path).status, 405, "GET {path}");
    }
    for path in ["/info", "/v1/models"] {
        assert_eq!(post(&mut client, path, &json!({})).status, 405, "POST {path}");
    }
    assert_eq!(client.get("/embeddings").status, 404);
}
