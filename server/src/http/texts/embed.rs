//! `/embed`, `/embed_all`, `/similarity`, `/rerank`, `/v1/embeddings`: what runs a model.

use axum::extract::{Request, State};

use super::call::Call;
use super::find::Needs;
use super::{answered, read, write};
use crate::http::response::Answered;
use crate::reactor::Seat;
use crate::serving::Failed;

/// `POST /embed`.
pub async fn embed(State(seat): State<Seat>, request: Request) -> Answered {
    answered(async { embedded(&Call::read(&seat, request).await?).await }.await)
}

/// `POST /embed_all`.
pub async fn embed_all(State(seat): State<Seat>, request: Request) -> Answered {
    let answer = async {
        let call = Call::read(&seat, request).await?;
        let ran = call.run(call.parse(read::embed_all).await?, Needs::Embeddings).await?;
        call.answer(ran, false, |ran| write::token_embeddings(&ran.answers)).await
    };
    answered(answer.await)
}

/// `POST /similarity`.
pub async fn similarity(State(seat): State<Seat>, request: Request) -> Answered {
    answered(async { compared(&Call::read(&seat, request).await?).await }.await)
}

/// `POST /rerank`.
pub async fn rerank(State(seat): State<Seat>, request: Request) -> Answered {
    answered(async { ranked(&Call::read(&seat, request).await?).await }.await)
}

/// `POST /v1/embeddings`.
pub async fn openai(State(seat): State<Seat>, request: Request) -> Answered {
    let answer = async {
        let call = Call::read(&seat, request).await?;
        let read::Embeddings { ask, base64 } = call.parse(read::embeddings).await?;
        let ran = call.run(ask, Needs::Embeddings).await?;
        let written = move |ran: &crate::texts::RanTexts| {
            write::openai(&ran.answers, &ran.served.model, ran.tokens.iter().sum(), base64)
        };
        call.answer(ran, base64, written).await
    };
    answered(answer.await)
}

/// Embeds what `call` holds.
///
/// # Errors
/// Everything that may be wrong with it.
pub async fn embedded(call: &Call<'_>) -> Result<Answered, Failed> {
    let ran = call.run(call.parse(read::embed).await?, Needs::Embeddings).await?;
    call.answer(ran, false, |ran| write::embeddings(&ran.answers)).await
}

/// Compares what `call` holds.
///
/// # Errors
/// Everything that may be wrong with it.
pub async fn compared(call: &Call<'_>) -> Result<Answered, Failed> {
    let ran = call.run(call.parse(read::similarity).await?, Needs::Embeddings).await?;
    call.answer(ran, false, |ran| write::similarity(&ran.answers)).await
}

/// Ranks what `call` holds.
///
/// # Errors
/// Everything that may be wrong with it.
pub async fn ranked(call: &Call<'_>) -> Result<Answered, Failed> {
    let read::Rerank { ask, texts } = call.parse(read::rerank).await?;
    let ran = call.run(ask, Needs::Ranks).await?;
    call.answer(ran, false, move |ran| write::ranks(&ran.answers, texts.as_deref())).await
}
