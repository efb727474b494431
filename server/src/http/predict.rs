//! `POST /predict`.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use perch_models::json::{write_answer, write_string};
use perch_models::run::Answer;

use super::response::{Answered, FALLBACK};
use super::texts::classify;
use super::timing::{SERVER_TIMING, server_timing};
use crate::error::{ApiError, Kind};
use crate::reactor::Seat;
use crate::serving::{Asked, Failed, Parsed, Ran, Serving, is_large};

/// Answers a prediction, or the error that the outer layer renders.
///
/// A block, since what an `async fn` is given is kept twice: this future is moved with every request, and so are those
/// that it waits for.
pub fn predict(seat: Arc<Seat>, request: Request, arrived: Instant) -> impl Future<Output = Answered> + Send {
    let (head, body) = request.into_parts();
    let mut headers = head.headers;
    async move {
        match answer(&seat, &mut headers, body, arrived).await {
            Ok(answered) => answered,
            Err((error, served)) => Answered::failed(error, served),
        }
    }
}

async fn answer(seat: &Seat, headers: &mut HeaderMap, body: Body, arrived: Instant) -> Result<Answered, Failed> {
    let serving = &seat.serving;
    let body = serving.bodies.read(headers, body, arrived + serving.timeout).await;
    let body = body.map_err(|error| (error, None))?;
    let asked = Asked { headers, body: &body.bytes, at_once: body.at_once, reactor: seat.reactor, arrived };
    // Boxed, since their futures are larger than what all other requests need.
    let rest: BoxFuture<'_, Result<Answered, Failed>> = match serving.predict(asked).await {
        Ok(ran) if !is_large(&ran.answer) => return Ok(answered(&ran)),
        Ok(ran) => Box::pin(answered_apart(serving, ran)),
        // Texts are no tensors: what is sent to a classifier of texts ends here, and no other request looks at that.
        Err(failed) if failed.0.kind == Kind::InvalidInput => {
            Box::pin(classify::instead(seat, std::mem::take(headers), body, arrived, failed))
        }
        Err(failed) => return Err(failed),
    };
    rest.await
}

fn answered(ran: &Ran) -> Answered {
    let Ran { parsed, answer, fallback } = ran;
    let mut response = Response::new(Body::from(render(parsed, answer)));
    *response.headers_mut() = parsed.served.headers.clone();
    let timing = server_timing([("queue", answer.queued), ("execute", answer.executed)]);
    response.headers_mut().insert(SERVER_TIMING, timing);
    if let Some(why) = fallback {
        response.headers_mut().insert(FALLBACK, HeaderValue::from_static(why.name()));
    }
    Answered::by(parsed.served.clone(), response)
}

/// The same of a large answer, off the reactor.
async fn answered_apart(serving: &Serving, ran: Ran) -> Result<Answered, Failed> {
    let served = ran.parsed.served.clone();
    let answered = serving.lifecycle.spawn_blocking(move || answered(&ran)).await;
    answered.map_err(|_| (ApiError::new(Kind::Internal, "printing the answer failed"), Some(served)))
}

/// `{"model","version","track","id"?,"predictions"|"outputs"}`.
fn render(parsed: &Parsed, answer: &Answer) -> Vec<u8> {
    let served = &parsed.served;
    let mut out = Vec::with_capacity(served.preamble.len() + 64 + 24 * answer.rows.len());
    out.extend_from_slice(&served.preamble);
    if let Some(id) = &parsed.id {
        out.extend_from_slice(b"\"id\":");
        write_string(&mut out, id);
        out.push(b',');
    }
    let (columns, rows) = (&answer.columns, &answer.rows);
    write_answer(&mut out, parsed.form, served.runtime.signature(), columns, rows, parsed.selected.as_deref());
    out.extend_from_slice(b"}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn future_of<F>(_: &impl Fn(Arc<Seat>, Request, Instant) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_is_moved_with_every_request_is_small() {
        let bytes = future_of(&predict);
        assert!(bytes <= 1152, "{bytes} bytes: box what few requests need, and keep no argument of an async fn");
    }
}
