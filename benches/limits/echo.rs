//! The limit "axum JSON echo": parses the body with `serde_json` to a `Value` and writes it back.

mod common;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use clap::Parser;
use serde_json::Value;

/// A bare axum server that answers with the JSON it was sent.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    common: common::Common,
}

async fn echo(body: Bytes) -> Response {
    let written = serde_json::from_slice::<Value>(&body).and_then(|value| serde_json::to_vec(&value));
    match written {
        Ok(json) => {
            let json_type = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json_type)], json).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    common::serve(&args.common, Router::new().route("/predict", post(echo)))
}
