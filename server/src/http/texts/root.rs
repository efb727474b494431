//! `POST /`: where `huggingface_hub`'s `InferenceClient` sends everything. What is sent, and the task of the model that
//! is meant, say what is done.

use axum::extract::{Request, State};
use perch_models::text::Task;

use super::answered;
use super::call::Call;
use super::classify::classified;
use super::embed::{compared, embedded, ranked};
use super::find::Needs;
use super::read::{self, Form};
use crate::http::response::Answered;
use crate::reactor::Seat;
use crate::serving::Failed;

/// `POST /`.
pub async fn root(State(seat): State<Seat>, request: Request) -> Answered {
    answered(async { dispatched(&Call::read(&seat, request).await?).await }.await)
}

async fn dispatched(call: &Call<'_>) -> Result<Answered, Failed> {
    let read::Root { model, form } = call.parse(read::root).await?;
    match form {
        Form::Rerank => ranked(call).await,
        Form::Similarity => compared(call).await,
        Form::Texts => {
            let served = call.find(model.as_deref(), Needs::Any)?;
            match served.runtime.text().map(|text| text.config().task) {
                Some(Task::Classifier | Task::Reranker) => classified(call).await,
                Some(Task::Embedding) | None => embedded(call).await,
            }
        }
    }
}
