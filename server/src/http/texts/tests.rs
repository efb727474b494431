//! The paths with everything around them, and no model: what errors look like, wherever they come from.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::routes;
use crate::config::{Config, Layers};
use crate::error::{ApiError, Kind};
use crate::http::body::BodyLimits;
use crate::layers::{Shared, scoped};
use crate::reactor::Seat;
use crate::serving::Serving;

/// Bodies may have this many bytes.
const MOST: usize = 1 << 10;

fn server() -> Router {
    let layers = Layers::new().file_text("perch.yaml", "registry: {path: models}");
    let config =
        Config::load(layers.env([("XDG_STATE_HOME".to_owned(), "/state".to_owned())])).expect("complete").config;
    let bodies = Arc::new(BodyLimits::new(MOST, MOST));
    let timeout = Duration::from_secs(5);
    let serving = Arc::new(Serving { catalog: Arc::default(), lifecycle: Arc::default(), timeout, bodies, cores: 1 });
    let seat = Seat { reactor: 0, serving, config: Arc::new(config) };
    let routes = routes(seat).fallback(async || ApiError::new(Kind::NotFound, "no such path"));
    scoped(routes, Arc::new(Shared::new(Arc::default(), 10)))
}

async fn ask(method: Method, path: &str, body: &str) -> (u16, HeaderMap, Value) {
    let request = Request::builder().method(method).uri(path).header("x-request-id", "r-1");
    let request = request.header("content-type", "text/plain").body(Body::from(body.to_owned())).expect("valid");
    let response = server().oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    assert_eq!(parts.headers["x-request-id"], "r-1");
    assert_eq!(parts.headers["content-type"], "application/json");
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).expect("JSON"))
}

async fn post(path: &str, body: &str) -> (u16, Value) {
    let (status, _, answer) = ask(Method::POST, path, body).await;
    (status, answer)
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_the_words_of_its_protocol() {
    let tei = |message: &str, kind: &str| json!({"error": message, "error_type": kind});
    let missing = "inputs: expected it, but it is missing";
    for path in ["/embed", "/embed_all", "/similarity", "/tokenize"] {
        assert_eq!(post(path, "{}").await, (422, tei(missing, "Validation")), "{path}");
    }
    assert_eq!(post("/embed", r#"{"inputs": []}"#).await, (400, tei("`inputs` cannot be empty", "Empty")));
    let empty = post("/rerank", r#"{"query": "q", "texts": []}"#).await;
    assert_eq!(empty, (400, tei("`texts` cannot be empty", "Empty")));
    let (status, answer) = post("/decode", "{\"ids\": [1").await;
    assert_eq!((status, &answer["error_type"]), (422, &json!("Validation")));
    let message = "input[1]: expected a string or an array of token ids, got null";
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": "invalid_input"});
    assert_eq!(post("/v1/embeddings", r#"{"input": ["a", null]}"#).await, (400, json!({"error": error})));
}

#[tokio::test]
async fn without_a_model_it_is_not_ready_and_an_unknown_one_is_not_found() {
    for (path, body) in [
        ("/embed", r#"{"inputs": "a"}"#),
        ("/", r#"{"inputs": "a"}"#),
        ("/", r#"{"query": "q", "texts": ["a"]}"#),
        ("/tokenize", r#"{"inputs": "a"}"#),
        ("/decode", r#"{"ids": [1]}"#),
    ] {
        let unhealthy = json!({"error": "no model is loaded", "error_type": "Unhealthy"});
        assert_eq!(post(path, body).await, (503, unhealthy), "{path}");
    }
    let unknown = "no model \"m\": none is registered";
    let (status, answer) = post("/embed", r#"{"inputs": "a", "model": "m"}"#).await;
    assert_eq!((status, answer), (404, json!({"error": unknown, "error_type": "Validation"})));
    let error =
        json!({"message": unknown, "type": "invalid_request_error", "param": "model", "code": "model_not_found"});
    let (status, answer) = post("/v1/embeddings", r#"{"input": "a", "model": "m"}"#).await;
    assert_eq!((status, answer), (404, json!({"error": error})));
    let (status, _, answer) = ask(Method::GET, "/v1/models/m", "").await;
    assert_eq!((status, answer), (404, json!({"error": error})));
    let (status, _, answer) = ask(Method::GET, "/info?model=m", "").await;
    assert_eq!((status, answer), (404, json!({"error": unknown, "error_type": "Validation"})));
    let (status, _, answer) = ask(Method::GET, "/v1/models", "").await;
    assert_eq!((status, answer), (200, json!({"object": "list", "data": [], "models": []})));
}

#[tokio::test]
async fn errors_from_outside_the_handlers_have_the_same_forms() {
    let (status, headers, answer) = ask(Method::GET, "/embed", "").await;
    assert_eq!((status, &headers["allow"]), (405, &"POST".parse().expect("valid")));
    assert_eq!(answer, json!({"error": "this path takes POST", "error_type": "Validation"}));
    let (status, _, answer) = ask(Method::DELETE, "/v1/models/m", "").await;
    assert_eq!((status, &answer["error"]["code"]), (405, &json!("method_not_allowed")));
    let (status, _, answer) = ask(Method::GET, "/v1/models/%ff", "").await;
    let error = &answer["error"];
    assert_eq!(
        (status, &error["type"], &error["code"]),
        (400, &json!("invalid_request_error"), &json!("invalid_input"))
    );
    assert!(error["message"].as_str().is_some_and(|message| message.contains("UTF-8")), "{answer}");
    let large = "a".repeat(MOST + 1);
    let (status, answer) = post("/embed", &large).await;
    assert_eq!((status, &answer["error_type"]), (413, &json!("Validation")));
    let (status, answer) = post("/v1/embeddings", &large).await;
    assert_eq!((status, &answer["error"]["type"]), (413, &json!("invalid_request_error")));
    let (status, answer) = post("/embeds", "").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND.as_u16(), &json!("not_found")));
}
