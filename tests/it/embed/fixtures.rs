//! The small text models against what ONNX Runtime answers to one text at a time: every way of pooling, prompts, cuts,
//! fewer dimensions, tokens, and graphs that pool by themselves, compute in float16 or ignore their mask.

use std::sync::OnceLock;

use perch_testkit::models::root;
use perch_testkit::{Client, Models, TestServer};
use serde_json::{Value, json};

use super::mixes::{self, Corpus};
use super::{assert_near, normalised, patient, post, vector, vectors};

const EMBEDDERS: [&str; 6] = [
    "toy_embedder",
    "toy_embedder_cls",
    "toy_embedder_last",
    "toy_embedder_fp16",
    "toy_embedder_pooled",
    "toy_embedder_unmasked",
];

/// `tests/fixtures/text.json`.
fn answers() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| {
        let file = std::fs::read(root().join("tests/fixtures/text.json")).expect("the fixture");
        serde_json::from_slice(&file).expect("JSON")
    })
}

/// The cases of one version that have a text: an empty one is an error.
pub fn cases(model: &str, version: &str) -> Vec<&'static Value> {
    let cases = answers()[model][version].as_array().expect("cases");
    let cases: Vec<&Value> = cases.iter().filter(|case| case["text"] != "" && case["pair"][1] != "").collect();
    assert!(cases.len() >= 4, "{model}");
    cases
}

fn tolerance(model: &str) -> f64 {
    // Half precision rounds to 0.001 at 1.
    if model == "toy_embedder_fp16" { 2e-3 } else { 1e-5 }
}

fn server() -> TestServer {
    patient(Models::with(&EMBEDDERS), &EMBEDDERS)
}

/// The body that asks for one case as the fixture answers it.
fn body(model: &str, case: &Value) -> Value {
    let mut body = json!({"model": model, "inputs": case["text"], "truncate": true, "normalize": false});
    if case["prompt_name"].is_string() {
        body["prompt_name"] = case["prompt_name"].clone();
    }
    body
}

fn one(client: &mut Client, body: &Value) -> Vec<f64> {
    let rows = vectors(&post(client, "/embed", body).ok());
    assert_eq!(rows.len(), 1, "{body}");
    rows.into_iter().next().expect("one")
}

#[test]
fn every_embedder_answers_every_text_as_its_fixture() {
    let server = server();
    let mut client = server.client();
    for model in EMBEDDERS {
        for case in cases(model, "1") {
            let expected = vector(&case["embedding"]);
            let mut body = body(model, case);
            let what = body.to_string();
            assert_near(&one(&mut client, &body), &expected, tolerance(model), &what);
            // Without a word about it, embeddings are of length 1, whatever the model does.
            body.as_object_mut().expect("an object").remove("normalize");
            assert_near(&one(&mut client, &body), &normalised(&expected), tolerance(model), &what);
        }
    }
}

#[test]
fn versions_of_one_model_answer_with_their_own_weights() {
    let models = Models::with(&["toy_embedder"]);
    models.set_alias("toy_embedder", "stable", 2);
    let server = patient(models, &["toy_embedder"]);
    let mut client = server.client();
    for case in cases("toy_embedder", "2") {
        let body = body("toy_embedder", case);
        assert_near(&one(&mut client, &body), &vector(&case["embedding"]), 1e-5, &body.to_string());
    }
}

#[test]
fn tokens_in_place_of_a_text_are_that_text() {
    let server = server();
    let mut client = server.client();
    for model in EMBEDDERS {
        for case in cases(model, "1") {
            let expected = vector(&case["embedding"]);
            // One input as a list of tokens, and a list of such inputs.
            for inputs in [json!(case["input_ids"]), json!([case["input_ids"]])] {
                let body = json!({"model": model, "inputs": inputs, "normalize": false});
                assert_near(&one(&mut client, &body), &expected, tolerance(model), &body.to_string());
            }
        }
    }
}

#[test]
fn random_mixes_change_no_embedding_of_any_graph() {
    let server = server();
    for model in EMBEDDERS {
        let cases: Vec<&Value> = cases(model, "1").into_iter().filter(|case| case["prompt_name"].is_null()).collect();
        let embeddings: Vec<Vec<f64>> = cases.iter().map(|case| vector(&case["embedding"])).collect();
        let corpus = Corpus {
            model,
            texts: cases.iter().map(|case| case["text"].as_str().expect("a text")).collect(),
            embeddings: embeddings.iter().map(Vec::as_slice).collect(),
            tolerance: tolerance(model),
            fits: cases.iter().map(|case| case["input_ids"].as_array().map_or(0, Vec::len) < 32).collect(),
        };
        mixes::check(server.address(), &corpus, 50, 16);
    }
}

#[test]
fn every_way_of_pooling_is_followed() {
    // What the fixture calls it, and the key of sentence-transformers.
    let modes = [
        ("cls", "pooling_mode_cls_token"),
        ("max", "pooling_mode_max_tokens"),
        ("mean", "pooling_mode_mean_tokens"),
        ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
        ("weightedmean", "pooling_mode_weightedmean_tokens"),
        ("lasttoken", "pooling_mode_lasttoken"),
    ];
    let models = Models::with(&[]);
    for (name, key) in modes {
        models.copy_version("toy_embedder", 1, name, 1);
        let config = json!({"word_embedding_dimension": 8, key: true});
        models.write(&format!("{name}/1/1_Pooling/config.json"), config.to_string().as_bytes());
    }
    let server = patient(models, &modes.map(|(name, _)| name));
    let mut client = server.client();
    for (name, _) in modes {
        for case in cases("toy_embedder", "1") {
            let expected = vector(&case["pooled"][name]);
            // The module after it makes the length 1.
            let body = body(name, case);
            assert_near(&one(&mut client, &body), &normalised(&expected), 1e-5, &body.to_string());
        }
    }
}

#[test]
fn tokens_have_embeddings_of_their_own() {
    let server = server();
    let mut client = server.client();
    let cases: Vec<&Value> =
        cases("toy_embedder", "1").into_iter().filter(|case| case["prompt_name"].is_null()).collect();
    let texts: Vec<&Value> = cases.iter().map(|case| &case["text"]).collect();
    let body = json!({"model": "toy_embedder", "inputs": texts, "truncate": true});
    let all = post(&mut client, "/embed_all", &body).ok();
    assert_eq!(all.as_array().map(Vec::len), Some(cases.len()));
    for (case, got) in cases.iter().zip(all.as_array().expect("a list")) {
        let (got, expected) = (vectors(got), vectors(&case["tokens"]));
        // Padding has none.
        assert_eq!(got.len(), expected.len(), "{}", case["text"]);
        for (got, expected) in got.iter().zip(&expected) {
            assert_near(got, expected, 1e-5, &case["text"].to_string());
        }
        let body = json!({"model": "toy_embedder", "inputs": case["text"], "truncate": true});
        let alone = post(&mut client, "/embed_all", &body).ok();
        assert_eq!(alone.as_array().map(Vec::len), Some(1), "a list of texts, for one too");
        assert_eq!(vectors(&alone[0]).len(), expected.len());
    }
}

#[test]
fn fewer_dimensions_are_the_first_ones_made_long_again() {
    let server = server();
    let mut client = server.client();
    for case in cases("toy_embedder", "1") {
        for dimensions in [1, 3, 8] {
            let mut body = body("toy_embedder", case);
            body["normalize"] = true.into();
            body["dimensions"] = dimensions.into();
            let expected = normalised(&vector(&case["embedding"])[..dimensions]);
            assert_near(&one(&mut client, &body), &expected, 1e-5, &body.to_string());
        }
    }
}

#[test]
fn the_end_that_is_cut_off_is_the_one_that_was_named() {
    let server = server();
    let mut client = server.client();
    let long =
        cases("toy_embedder", "1").into_iter().find(|case| case["input_ids"].as_array().map(Vec::len) == Some(32));
    let long = long.expect("a text that fills the model")["text"].as_str().expect("a text");
    let words: Vec<&str> = long.split(' ').collect();
    assert_eq!(words.len(), 60, "a token each, and two special ones");
    let mut ask = |text: &str, more: &Value| {
        let mut body = json!({"model": "toy_embedder", "inputs": text});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        one(&mut client, &body)
    };
    let (first, last) = (words[..30].join(" "), words[30..].join(" "));
    let (first, last) = (ask(&first, &json!({})), ask(&last, &json!({})));
    assert!(super::distance(&first, &last) > 0.01, "the ends differ");
    for (direction, expected) in [("right", &first), ("left", &last)] {
        let got = ask(long, &json!({"truncate": true, "truncation_direction": direction}));
        assert_near(&got, expected, 1e-5, direction);
    }
    assert_near(&ask(long, &json!({"truncate": true})), &first, 1e-5, "without a word about it");
}
