//! `GET /info`, as text-embeddings-inference has it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use perch_models::signature::OutputSpec;
use perch_models::text::TextConfig;
use perch_models::text::config::Task;
use perch_models::text::pool::Mode;
use perch_models::version::MAX_PADDED;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answered;
use super::find::{Needs, find};
use super::read::MOST_INPUTS;
use crate::catalog::Served;
use crate::config::Config;
use crate::error::{ApiError, Kind};
use crate::http::response::{Answered, json_answer};
use crate::reactor::Seat;
use crate::serving::Failed;

/// The query.
#[derive(Deserialize)]
pub struct Which {
    model: Option<String>,
}

/// `GET /info?model=`.
pub async fn info(State(seat): State<Seat>, which: Result<Query<Which>, QueryRejection>) -> Answered {
    answered(described(&seat, which))
}

fn described(seat: &Seat, which: Result<Query<Which>, QueryRejection>) -> Result<Answered, Failed> {
    let Query(which) = which.map_err(|error| ApiError::new(Kind::InvalidInput, error.body_text()))?;
    let served = find(&seat.serving.catalog.load(), which.model.as_deref(), Needs::Tokens)?.clone();
    let body = match served.runtime.text() {
        Some(text) => shown(&served, text.config(), seat),
        None => Value::Null,
    };
    let mut response: Response = json_answer(StatusCode::OK, &body);
    response.headers_mut().extend(served.headers.clone());
    Ok(Answered::by(served, response))
}

fn shown(served: &Served, text: &TextConfig, seat: &Seat) -> Value {
    let Seat { config, serving, .. } = seat;
    let rows = max_rows(config, &served.model);
    json!({
        "model_id": served.model,
        "model_sha": served.runtime.digest(),
        "model_dtype": dtype(served),
        "model_type": model_type(text),
        "max_concurrent_requests": config.server.max_in_flight,
        "max_input_length": text.max_tokens,
        "max_batch_tokens": max_tokens(rows, text.max_tokens),
        "max_batch_requests": rows,
        "max_client_batch_size": MOST_INPUTS,
        "auto_truncate": false,
        "tokenization_workers": serving.cores,
        "version": env!("CARGO_PKG_VERSION"),
        "sha": null,
        "docker_label": null,
    })
}

/// What the graph computes its answers in.
fn dtype(served: &Served) -> &'static str {
    let outputs = &served.runtime.signature().outputs;
    let first = outputs.iter().find_map(|output| match output {
        OutputSpec::Tensor(spec) => Some(spec.dtype.name()),
        OutputSpec::Maps { .. } => None,
    });
    first.unwrap_or("float32")
}

fn model_type(text: &TextConfig) -> Value {
    let about = match text.task {
        Task::Embedding => json!({"pooling": pooling(&text.pooling)}),
        Task::Classifier | Task::Reranker => {
            let labels = || text.labels.iter().enumerate();
            let id2label: Map<String, Value> = labels().map(|(i, label)| (i.to_string(), json!(label))).collect();
            let label2id: Map<String, Value> = labels().map(|(i, label)| (label.clone(), json!(i))).collect();
            json!({"id2label": id2label, "label2id": label2id})
        }
    };
    json!({text.task.name(): about})
}

/// TEI's names; several that are joined, with `+`. Where the graph pools by itself nothing is known of it.
fn pooling(modes: &[Mode]) -> String {
    let name = |mode: &Mode| match mode {
        Mode::LastToken => "last_token",
        mode => mode.name(),
    };
    if modes.is_empty() { "graph".to_owned() } else { modes.iter().map(name).collect::<Vec<_>>().join("+") }
}

fn max_rows(config: &Config, model: &str) -> usize {
    let listed = config.models.iter().find(|listed| listed.name == model);
    listed.map_or_else(|| config.registry.model(model).batching.max_rows, |listed| listed.batching.max_rows)
}

/// The most tokens in a run of up to so many rows: one text that is longer runs by itself.
fn max_tokens(rows: usize, longest: usize) -> usize {
    rows.saturating_mul(longest).min(MAX_PADDED.max(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_bound_in_tokens_or_one_text() {
        assert_eq!(max_tokens(4, 256), 1024);
        assert_eq!(max_tokens(64, 512), 16_384);
        assert_eq!(max_tokens(64, 32_768), 32_768);
    }

    #[test]
    fn pooling_has_teis_names() {
        assert_eq!(pooling(&[Mode::Mean]), "mean");
        assert_eq!(pooling(&[Mode::LastToken]), "last_token");
        assert_eq!(pooling(&[Mode::Cls, Mode::Max]), "cls+max");
        assert_eq!(pooling(&[]), "graph");
    }
}
