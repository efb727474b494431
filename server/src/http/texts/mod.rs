//! Texts: the endpoints of text-embeddings-inference and of `OpenAI`.
//!
//! The way of a request: `read` understands its body, `find` says which model is meant, [`call`] runs it and answers,
//! `write` prints. Handlers put these together.

pub mod call;
pub mod classify;
pub mod embed;
pub mod find;
pub mod headers;
mod info;
mod models;
pub mod read;
mod root;
#[cfg(test)]
mod tests;
mod tokens;
pub mod write;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::header::ALLOW;

use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::http::response::Answered;
use crate::reactor::Seat;
use crate::serving::Failed;

/// All paths for texts; `/predict` takes texts, too. [`ErrorShape::of`](crate::error::ErrorShape::of) says what errors
/// look like there.
pub fn routes(seat: Seat) -> Router {
    Router::new()
        .route("/", post(root::root).fallback(takes_post))
        .route("/embed", post(embed::embed).fallback(takes_post))
        .route("/embed_all", post(embed::embed_all).fallback(takes_post))
        .route("/rerank", post(embed::rerank).fallback(takes_post))
        .route("/similarity", post(embed::similarity).fallback(takes_post))
        .route("/tokenize", post(tokens::tokenize).fallback(takes_post))
        .route("/decode", post(tokens::decode).fallback(takes_post))
        .route("/info", get(info::info).fallback(takes_get))
        .route("/v1/embeddings", post(embed::openai).fallback(takes_post))
        .route("/v1/models", get(models::list).fallback(takes_get))
        .route("/v1/models/{model}", get(models::one).fallback(takes_get))
        .with_state(seat)
}

async fn takes_post() -> ([(http::HeaderName, &'static str); 1], ApiError) {
    ([(ALLOW, "POST")], ApiError::new(Kind::MethodNotAllowed, "this path takes POST"))
}

async fn takes_get() -> ([(http::HeaderName, &'static str); 1], ApiError) {
    ([(ALLOW, "GET,HEAD")], ApiError::new(Kind::MethodNotAllowed, "this path takes GET"))
}

fn answered(result: Result<Answered, Failed>) -> Answered {
    result.unwrap_or_else(|(error, served)| Answered::failed(error, served))
}

/// Before a version is chosen, nobody but the server has failed.
impl From<ApiError> for (ApiError, Option<Arc<Served>>) {
    fn from(error: ApiError) -> Self {
        (error, None)
    }
}
