//! `/admin/rollouts`: what rolls out, and what operators say to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use perch_router::rollout::Command;
use perch_router::weight::Weight;
use perch_store::Audit;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, Kind};
use crate::http::response::json_answer;
use crate::rollouts::{CommandError, Rollouts, moment};

/// Commands are small.
const MAX_BODY: usize = 16 << 10;
/// Rows of history that one request may ask for.
const MAX_HISTORY: u32 = 1000;
/// Names in the audit log are cut beyond this.
const MAX_NAME: usize = 128;

/// What these paths work on.
#[derive(Clone)]
pub(super) struct Rolling {
    pub(super) rollouts: Rollouts,
    pub(super) stopping: CancellationToken,
}

pub(super) fn routes(rolling: Rolling) -> Router {
    Router::new()
        .route("/admin/rollouts", get(list).fallback(only_get))
        .route("/admin/rollouts/events", get(events).fallback(only_get))
        .route("/admin/rollouts/{model}", get(show).fallback(only_get))
        .route("/admin/rollouts/{model}/history", get(history).fallback(only_get))
        .route("/admin/rollouts/{model}/events", get(events_of).fallback(only_get))
        .route("/admin/rollouts/{model}/{command}", post(command).fallback(super::wrong_method))
        .with_state(rolling)
}

async fn only_get() -> Response {
    ([(http::header::ALLOW, "GET")], ApiError::new(Kind::MethodNotAllowed, "this path takes GET")).into_response()
}

fn unknown(model: &str) -> ApiError {
    let short: String = model.chars().take(64).collect();
    ApiError::new(Kind::ModelNotFound, format!("no model \"{short}\" is followed"))
}

async fn list(State(rolling): State<Rolling>) -> Response {
    let views = rolling.rollouts.views();
    json_answer(StatusCode::OK, &json!({"rollouts": views.iter().map(Arc::as_ref).collect::<Vec<_>>()}))
}

async fn show(State(rolling): State<Rolling>, Path(model): Path<String>) -> Result<Response, ApiError> {
    answer(&rolling.rollouts, &model)
}

/// A model's view, and its generation as the tag that commands may name.
fn answer(rollouts: &Rollouts, model: &str) -> Result<Response, ApiError> {
    let view = rollouts.view(model).ok_or_else(|| unknown(model))?;
    let mut response = json_answer(StatusCode::OK, &view);
    let tag = HeaderValue::from_str(&format!("\"{}\"", view["generation"]));
    response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "fifty")]
    limit: u32,
    before: Option<u64>,
}

const fn fifty() -> u32 {
    50
}

async fn history(
    State(rolling): State<Rolling>,
    Path(model): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, ApiError> {
    if rolling.rollouts.view(&model).is_none() {
        return Err(unknown(&model));
    }
    if !(1..=MAX_HISTORY).contains(&page.limit) {
        let message = format!("limit: expected 1 to {MAX_HISTORY}, got {}", page.limit);
        return Err(ApiError::new(Kind::InvalidInput, message));
    }
    let rows = rolling.rollouts.history(&model, page.limit, page.before).await;
    let rows = rows.map_err(|error| ApiError::new(Kind::StoreUnavailable, error.message))?;
    let row = |audit: &Audit| {
        let Audit { generation, at, who, from, to, what, version } = audit;
        let at = moment::text(*at);
        json!({"generation": generation, "at": at, "who": who, "from": from, "to": to, "what": what, "version": version})
    };
    Ok(json_answer(StatusCode::OK, &json!({"history": rows.iter().map(row).collect::<Vec<_>>()})))
}

/// What a command may say besides its name.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Said {
    full: Option<bool>,
    force: Option<bool>,
    weight: Option<f64>,
    who: Option<String>,
}

async fn command(
    State(rolling): State<Rolling>,
    Path((model, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let too_large = |_| ApiError::new(Kind::BodyTooLarge, format!("expected a body of at most {MAX_BODY} bytes"));
    let body = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    let said = said(&body)?;
    let command = meant(&name, &said)?;
    let expected = generation(&head.headers)?;
    let who: String = said.who.as_deref().unwrap_or("unnamed").chars().take(MAX_NAME).collect();
    let result = rolling.rollouts.command(&model, command, expected, who).await;
    result.map_err(|error| match error {
        CommandError::UnknownModel => unknown(&model),
        CommandError::Stale(now) => {
            ApiError::new(Kind::StaleGeneration, format!("the rollout has generation {now} by now"))
        }
        CommandError::Refused(why) => ApiError::new(Kind::Refused, why),
        CommandError::Store(why) => ApiError::new(Kind::StoreUnavailable, format!("it cannot be stored: {why}")),
    })?;
    answer(&rolling.rollouts, &model)
}

fn said(body: &Bytes) -> Result<Said, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Said::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::new(Kind::InvalidInput, format!("the body: {error}")))
}

/// The command of a path, with what its body says; keys of another command are an error.
fn meant(name: &str, said: &Said) -> Result<Command, ApiError> {
    let invalid = |message: String| ApiError::new(Kind::InvalidInput, message);
    for (key, given, of) in [
        ("full", said.full.is_some(), "promote"),
        ("force", said.force.is_some(), "retry"),
        ("weight", said.weight.is_some(), "weight"),
    ] {
        if given && name != of {
            return Err(invalid(format!("{key}: only {of} has it")));
        }
    }
    match name {
        "start" => Ok(Command::Start),
        "promote" if said.full == Some(true) => Ok(Command::PromoteFull),
        "promote" => Ok(Command::Promote),
        "pause" => Ok(Command::Pause),
        "resume" => Ok(Command::Resume),
        "abort" => Ok(Command::Abort),
        "retry" => Ok(Command::Retry { force: said.force == Some(true) }),
        "weight" => {
            let percent = said.weight.ok_or_else(|| invalid("weight: expected percent, got nothing".to_owned()))?;
            let weight = Weight::from_percent(percent).map_err(|error| invalid(format!("weight: {error}")))?;
            Ok(Command::SetWeight(weight))
        }
        _ => {
            let name: String = name.chars().take(64).collect();
            let known = "start, promote, pause, resume, abort, retry, weight";
            Err(ApiError::new(Kind::NotFound, format!("no command \"{name}\", expected one of {known}")))
        }
    }
}

/// The generation that the caller has seen: `If-Match: "7"`.
fn generation(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    if text == "*" {
        return Ok(None);
    }
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    let invalid = || {
        let got: String = text.chars().take(64).collect();
        ApiError::new(Kind::InvalidInput, format!("header if-match: expected a generation such as \"7\", got {got}"))
    };
    number.map(Some).ok_or_else(invalid)
}

async fn events(State(rolling): State<Rolling>) -> Response {
    stream(rolling, None)
}

async fn events_of(State(rolling): State<Rolling>, Path(model): Path<String>) -> Result<Response, ApiError> {
    if rolling.rollouts.view(&model).is_none() {
        return Err(unknown(&model));
    }
    Ok(stream(rolling, Some(model)))
}

/// Views as they are, and then as they change, until the server stops.
fn stream(rolling: Rolling, model: Option<String>) -> Response {
    let Rolling { rollouts, stopping } = rolling;
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10));
    let changes = changes(rollouts, model).take_until(stopping.cancelled_owned());
    Sse::new(changes).keep_alive(keep_alive).into_response()
}

fn changes(rollouts: Rollouts, only: Option<String>) -> impl Stream<Item = Result<Event, Infallible>> {
    let listener = rollouts.changes();
    let all = |rollouts: &Rollouts, only: Option<&String>| match only {
        Some(model) => rollouts.view(model).into_iter().collect(),
        None => rollouts.views(),
    };
    let first = all(&rollouts, only.as_ref());
    let later = stream::unfold((rollouts, listener, only), move |(rollouts, mut listener, only)| async move {
        loop {
            let views = match listener.recv().await {
                Ok(model) if only.as_ref().is_none_or(|only| *only == model) => {
                    rollouts.view(&model).into_iter().collect()
                }
                Ok(_) => continue,
                // Too slow for each: then what is so by now.
                Err(RecvError::Lagged(_)) => all(&rollouts, only.as_ref()),
                Err(RecvError::Closed) => return None,
            };
            return Some((views, (rollouts, listener, only)));
        }
    });
    stream::once(async { first }).chain(later).flat_map(|views| stream::iter(views).map(|view| Ok(event(&view))))
}

fn event(view: &Value) -> Event {
    Event::default().event("rollout").id(view["generation"].to_string()).data(view.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, body: &str) -> String {
        let said = said(&Bytes::copy_from_slice(body.as_bytes()));
        said.and_then(|said| meant(name, &said)).expect_err(body).message
    }

    #[test]
    fn commands_are_what_path_and_body_say() {
        let command = |name: &str, body: &'static str| {
            said(&Bytes::from_static(body.as_bytes())).and_then(|said| meant(name, &said)).expect(name)
        };
        assert_eq!(command("promote", ""), Command::Promote);
        assert_eq!(command("promote", r#"{"full": true, "who": "alice"}"#), Command::PromoteFull);
        assert_eq!(command("retry", "{}"), Command::Retry { force: false });
        let quarter = Weight::from_percent(25.5).expect("a weight");
        assert_eq!(command("weight", r#"{"weight": 25.5}"#), Command::SetWeight(quarter));
        assert_eq!(error("weight", ""), "weight: expected percent, got nothing");
        assert!(
            error("weight", r#"{"weight": 125}"#).starts_with("weight: "),
            "{}",
            error("weight", r#"{"weight": 125}"#)
        );
        assert_eq!(error("pause", r#"{"force": true}"#), "force: only retry has it");
        assert!(error("pause", r#"{"forse": true}"#).contains("forse"));
        assert!(error("stop", "").starts_with("no command \"stop\""));
    }

    #[test]
    fn a_generation_is_an_entity_tag() {
        let of = |text: &'static str| generation(&HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(text))]));
        assert_eq!(of("\"7\"").expect("right"), Some(7));
        assert_eq!(of("*").expect("right"), None);
        assert_eq!(generation(&HeaderMap::new()).expect("right"), None);
        assert!(of("7").is_err() && of("\"x\"").is_err());
    }
}
