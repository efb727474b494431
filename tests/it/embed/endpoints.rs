//! What the endpoints around embeddings answer: similarity, tokens, descriptions, and the headers that all have.

use perch_testkit::minilm::{NAME, Reference};
use perch_testkit::{Client, Models, Reply};
use serde_json::{Value, json};

use super::fixtures::cases;
use super::{TOLERANCE, assert_near, cosine, embed, list, patient, post, shared, vector, vectors, who};

const CARD: [&str; 4] =
    ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];

#[test]
fn similarity_gives_the_cosines_of_the_models_card() {
    let server = shared();
    let body = json!({"inputs": {"source_sentence": CARD[0], "sentences": CARD[1..]}});
    let got = vector(&post(&mut server.client(), "/similarity", &body).ok());
    assert_near(&got, &[0.695, 0.943, 0.257], 1e-3, "the card");
    let of = |text: &str| Reference::get().of(text);
    let expected: Vec<f64> = CARD[1..].iter().map(|text| cosine(of(CARD[0]), of(text))).collect();
    assert_near(&got, &expected, TOLERANCE, "the reference");
}

#[test]
fn the_root_is_embed_for_an_embedder() {
    let server = shared();
    let body = json!({"inputs": CARD});
    let rows = vectors(&post(&mut server.client(), "/", &body).ok());
    assert_eq!(rows.len(), CARD.len());
    for (row, text) in rows.iter().zip(CARD) {
        assert_near(row, Reference::get().of(text), TOLERANCE, text);
    }
}

/// The number in a header.
fn header(reply: &Reply, name: &str) -> f64 {
    let number = reply.header(name).and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("{name}: {:?}", reply.headers)).expect("a number")
}

#[test]
fn answers_say_who_gave_them_and_what_they_took() {
    let server = shared();
    let mut client = server.client();
    let card = json!({"inputs": {"source_sentence": CARD[0], "sentences": CARD[1..]}});
    // Tokens of the texts, with two special ones each.
    let all = [("/embed", json!({"inputs": CARD}), 7 + 7 + 8 + 7), ("/similarity", card, 7 + 7 + 8 + 7)];
    for (path, body, tokens) in all {
        let reply = post(&mut client, path, &body);
        reply.ok();
        assert_eq!(who(&reply), [NAME, "1", "stable"], "{path}");
        assert!(reply.header("x-request-id").is_some(), "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
        assert_near(&[header(&reply, "x-compute-tokens")], &[f64::from(tokens)], 0.0, path);
        let total = header(&reply, "x-total-time");
        for part in ["x-tokenization-time", "x-queue-time", "x-inference-time"] {
            let time = header(&reply, part);
            // Whole milliseconds, each rounded.
            assert!((0.0..=total + 1.0).contains(&time), "{path}: {part} {time} of {total}");
        }
    }
    let reply = post(&mut client, "/v1/embeddings", &json!({"model": NAME, "input": CARD}));
    assert_eq!(reply.ok()["usage"], json!({"prompt_tokens": 29, "total_tokens": 29}));
    assert_eq!(who(&reply), [NAME, "1", "stable"]);
}

fn tokens(client: &mut Client, body: &Value) -> Vec<Vec<Value>> {
    let answer = post(client, "/tokenize", body).ok();
    list(&answer).iter().map(|tokens| list(tokens).to_vec()).collect()
}

fn ids(tokens: &[Value]) -> Vec<u64> {
    tokens.iter().map(|token| token["id"].as_u64().expect("an id")).collect()
}

#[test]
fn tokenize_shows_every_token_and_where_it_comes_from() {
    let server = shared();
    let mut client = server.client();
    let text = "The perch swims.";
    let rows = tokens(&mut client, &json!({"inputs": text}));
    assert_eq!(rows.len(), 1);
    let (first, last) = (&rows[0][0], &rows[0][rows[0].len() - 1]);
    assert_eq!((&first["id"], &first["text"], &first["special"]), (&json!(101), &json!("[CLS]"), &json!(true)));
    assert_eq!((&first["start"], &first["stop"]), (&Value::Null, &Value::Null));
    assert_eq!((&last["id"], &last["special"]), (&json!(102), &json!(true)));
    let inner = &rows[0][1..rows[0].len() - 1];
    for token in inner {
        let place = |key: &str| usize::try_from(token[key].as_u64().expect("a place")).expect("small");
        assert_eq!(token["text"], text[place("start")..place("stop")], "{token}");
        assert_eq!(token["special"], false, "{token}");
    }
    let parts: String = inner.iter().map(|token| token["text"].as_str().expect("a text")).collect();
    assert_eq!(parts, text.replace(' ', ""));
    let bare = tokens(&mut client, &json!({"inputs": text, "add_special_tokens": false}));
    assert_eq!(bare[0], inner);
    let several = tokens(&mut client, &json!({"inputs": [text, "a"]}));
    assert_eq!((several.len(), &several[0]), (2, &rows[0]));
    assert_eq!(several[1].len(), 3);
}

#[test]
fn tokenize_gives_the_ids_of_the_fixtures_and_cuts_nothing_off() {
    let server = patient(Models::with(&["toy_embedder"]), &["toy_embedder"]);
    let mut client = server.client();
    let mut longer = 0;
    for case in cases("toy_embedder", "1") {
        let mut body = json!({"inputs": case["text"]});
        if case["prompt_name"].is_string() {
            body["prompt_name"] = case["prompt_name"].clone();
        }
        let got = ids(&tokens(&mut client, &body)[0]);
        let expected: Vec<u64> = serde_json::from_value(case["input_ids"].clone()).expect("ids");
        if got.len() > 32 {
            longer += 1;
            assert_eq!(got[..31], expected[..31], "{body}");
        } else {
            assert_eq!(got, expected, "{body}");
        }
    }
    assert_eq!(longer, 1, "one text is longer than the model takes");
}

#[test]
fn decode_turns_tokens_back_into_text() {
    let server = shared();
    let mut client = server.client();
    let text = "that is a happy person";
    let ids = ids(&tokens(&mut client, &json!({"inputs": text}))[0]);
    assert_eq!(post(&mut client, "/decode", &json!({"ids": ids})).ok(), json!([text]));
    let whole = post(&mut client, "/decode", &json!({"ids": ids, "skip_special_tokens": false})).ok();
    assert_eq!(whole, json!([format!("[CLS] {text} [SEP]")]));
    let several = post(&mut client, "/decode", &json!({"ids": [ids, [101, 1037, 102]]})).ok();
    assert_eq!(several, json!([text, "a"]));
}

#[test]
fn info_says_what_kind_of_model_it_is() {
    let info = shared().get("/info").ok();
    assert_eq!(info["model_id"], NAME, "{info}");
    assert_eq!(info["model_type"], json!({"embedding": {"pooling": "mean"}}), "{info}");
    assert_eq!(info["max_input_length"], 256, "{info}");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"), "{info}");
    for key in ["model_sha", "model_dtype", "max_concurrent_requests", "max_batch_tokens", "max_client_batch_size"] {
        assert!(info.get(key).is_some(), "{key}: {info}");
    }
    let server = patient(Models::with(&["toy_classifier"]), &["toy_classifier"]);
    let info = server.get("/info").ok();
    let labels = json!({"0": "negative", "1": "neutral", "2": "positive"});
    assert_eq!(info["model_type"]["classifier"]["id2label"], labels, "{info}");
    let server = patient(Models::with(&["toy_reranker"]), &["toy_reranker"]);
    let info = server.get("/info").ok();
    assert_eq!(info["model_type"]["reranker"]["id2label"], json!({"0": "LABEL_0"}), "{info}");
}

#[test]
fn models_are_listed_as_openai_and_kserve_list_them() {
    let names = ["toy_classifier", "toy_embedder"];
    let server = patient(Models::with(&names), &names);
    let list = server.get("/v1/models").ok();
    assert_eq!((&list["object"], &list["models"]), (&json!("list"), &json!(names)), "{list}");
    let data = list["data"].as_array().expect("a list");
    assert_eq!(data.len(), 2, "{list}");
    for (model, name) in data.iter().zip(names) {
        assert_eq!((&model["id"], &model["object"]), (&json!(name), &json!("model")), "{list}");
        assert_eq!(model["owned_by"], "perch", "{list}");
        assert!(model["created"].as_u64().is_some_and(|created| created > 1_600_000_000), "seconds: {list}");
        let one = server.get(&format!("/v1/models/{name}")).ok();
        assert_eq!((&one["id"], &one["name"], &one["ready"]), (&json!(name), &json!(name), &json!(true)), "{one}");
        assert_eq!((&one["object"], &one["created"]), (&json!("model"), &model["created"]), "{one}");
    }
    assert_eq!(server.get("/v1/models/nobody").status, 404);
}

#[test]
fn a_model_is_chosen_by_its_name() {
    let names = ["toy_embedder", "toy_embedder_last"];
    let server = patient(Models::with(&names), &names);
    let mut client = server.client();
    let text = "a happy person";
    let rows = names.map(|name| {
        let reply = embed(&mut client, &[text], &json!({"model": name}));
        assert_eq!(who(&reply), [name, "1", "stable"]);
        let openai = post(&mut client, "/v1/embeddings", &json!({"model": name, "input": text})).ok();
        assert_eq!(openai["model"], name, "{openai}");
        let row = vectors(&reply.ok()).remove(0);
        assert_near(&vector(&openai["data"][0]["embedding"]), &row, 1e-6, name);
        row
    });
    assert!(super::distance(&rows[0], &rows[1]) > 0.01, "two models, two embeddings");
}

#[test]
fn the_only_model_that_can_need_not_be_named() {
    let names = ["external", "toy_classifier", "toy_embedder", "toy_reranker"];
    let server = patient(Models::with(&names), &names);
    let mut client = server.client();
    let texts = json!({"inputs": "a fish"});
    let ranked = json!({"query": "a fish", "texts": ["a perch"]});
    for (path, body, model) in [
        ("/embed", &texts, "toy_embedder"),
        ("/embed_all", &texts, "toy_embedder"),
        ("/rerank", &ranked, "toy_reranker"),
    ] {
        let reply = post(&mut client, path, body);
        reply.ok();
        assert_eq!(who(&reply), [model, "1", "stable"], "{path}");
    }
}
