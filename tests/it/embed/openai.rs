//! `/v1/embeddings` on the wire: both encodings, tokens, dimensions, and errors as OpenAI words them.

use perch_testkit::minilm::{NAME, Reference};
use perch_testkit::{Models, TestServer};
use serde_json::json;

use super::mixes::little_endian;
use super::{TOLERANCE, assert_near, normalised, openai_error, patient, post, shared, vector};

const TEXT: &str = "That is a happy person";
const INVALID: &str = "invalid_request_error";

#[test]
fn floats_and_base64_are_the_same_numbers() {
    let server = shared();
    let mut client = server.client();
    let mut ask = |format: &str| {
        let body = json!({"model": NAME, "input": [TEXT, "a"], "encoding_format": format});
        let answer = post(&mut client, "/v1/embeddings", &body).ok();
        assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!(NAME)), "{answer}");
        assert_eq!(answer["usage"], json!({"prompt_tokens": 10, "total_tokens": 10}), "{answer}");
        let data = answer["data"].as_array().expect("a list").clone();
        assert_eq!(data.len(), 2, "{answer}");
        for (index, item) in data.iter().enumerate() {
            assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)), "{answer}");
        }
        data
    };
    for (float, base64) in ask("float").iter().zip(&ask("base64")) {
        let (float, base64) = (vector(&float["embedding"]), little_endian(&base64["embedding"]));
        assert_near(&float, &base64, 1e-6, "the two encodings");
        assert_eq!(float.len(), 384);
    }
}

#[test]
fn one_text_several_texts_and_tokens_are_taken() {
    let server = shared();
    let mut client = server.client();
    let ids = json!([101, 2008, 2003, 1037, 3407, 2711, 102]);
    for input in [json!(TEXT), json!([TEXT]), ids.clone(), json!([ids])] {
        let answer = post(&mut client, "/v1/embeddings", &json!({"model": NAME, "input": input})).ok();
        assert_eq!(answer["data"].as_array().map(Vec::len), Some(1), "{input}");
        let got = vector(&answer["data"][0]["embedding"]);
        assert_near(&got, Reference::get().of(TEXT), TOLERANCE, &input.to_string());
        assert_eq!(answer["usage"]["prompt_tokens"], 7, "{input}");
    }
    let body = json!({"model": NAME, "input": TEXT, "dimensions": 64, "user": "somebody"});
    let answer = post(&mut client, "/v1/embeddings", &body).ok();
    let expected = normalised(&Reference::get().of(TEXT)[..64]);
    assert_near(&vector(&answer["data"][0]["embedding"]), &expected, TOLERANCE, "64 dimensions");
}

#[test]
fn what_is_wrong_is_said_as_openai_says_it() {
    let server = shared();
    let mut client = server.client();
    let mut refused = |body: &serde_json::Value, status: u16, named: &str| {
        let reply = post(&mut client, "/v1/embeddings", body);
        let message = openai_error(&reply, status, INVALID);
        assert!(message.contains(named), "{named}: {message}");
        let code = &reply.json()["error"]["code"];
        assert!(code.is_string() || code.is_null(), "{code}");
    };
    refused(&json!({"model": "nobody", "input": TEXT}), 404, "nobody");
    refused(&json!({"model": NAME}), 400, "input");
    refused(&json!({"model": NAME, "input": ""}), 400, "empty");
    refused(&json!({"model": NAME, "input": []}), 400, "empty");
    refused(&json!({"model": NAME, "input": [TEXT, ""]}), 400, "empty");
    refused(&json!({"model": NAME, "input": 7}), 400, "input");
    refused(&json!({"model": NAME, "input": {"text": TEXT}}), 400, "input");
    refused(&json!({"model": NAME, "input": [TEXT, 7]}), 400, "input");
    refused(&json!({"model": NAME, "input": [30_522]}), 400, "30522");
    refused(&json!({"model": NAME, "input": "word ".repeat(300)}), 400, "256");
    refused(&json!({"model": NAME, "input": TEXT, "dimensions": 385}), 400, "dimensions");
    refused(&json!({"model": NAME, "input": TEXT, "dimensions": 0}), 400, "dimensions");
    refused(&json!({"model": NAME, "input": TEXT, "encoding_format": "hex"}), 400, "encoding_format");
    let reply = client.request("POST", "/v1/embeddings", &[], b"{\"model\": ");
    openai_error(&reply, 400, INVALID);
}

#[test]
fn a_model_that_gives_no_embeddings_says_so() {
    for (model, status, word) in [("toy_classifier", 400, "scores"), ("external", 404, "external")] {
        let server = patient(Models::with(&[model]), &[model]);
        let reply = post(&mut server.client(), "/v1/embeddings", &json!({"model": model, "input": TEXT}));
        let message = openai_error(&reply, status, INVALID);
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn without_a_name_the_only_model_answers_and_of_several_none() {
    let answer = post(&mut shared().client(), "/v1/embeddings", &json!({"input": TEXT})).ok();
    assert_eq!(answer["model"], NAME);
    let names = ["toy_embedder", "toy_embedder_last"];
    let server = patient(Models::with(&names), &names);
    let reply = post(&mut server.client(), "/v1/embeddings", &json!({"input": TEXT}));
    assert!(openai_error(&reply, 400, INVALID).contains("model"));
}

#[test]
fn a_body_that_is_too_large_is_refused_in_the_same_shape() {
    let models = Models::with(&["toy_embedder"]);
    let server = TestServer::builder(models).set("server.maxBody", "1KiB").ready();
    let body = json!({"model": "toy_embedder", "input": "a ".repeat(1000)});
    openai_error(&post(&mut server.client(), "/v1/embeddings", &body), 413, INVALID);
}
