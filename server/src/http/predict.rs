//! `POST /predict`.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use perch_models::json::{write_answer, write_string};
use perch_models::run::Answer;

use super::response::Answered;
use crate::reactor::Seat;
use crate::serving::{Failed, Parsed};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers a prediction, or the error that the outer layer renders.
pub async fn predict(seat: &Seat, request: Request) -> Answered {
    match answer(seat, request).await {
        Ok(answered) => answered,
        Err((error, served)) => Answered::failed(error, served),
    }
}

async fn answer(seat: &Seat, request: Request) -> Result<Answered, Failed> {
    let serving = &seat.serving;
    let arrived = Instant::now();
    let body = serving.bodies.read(request, arrived + serving.timeout).await.map_err(|error| (error, None))?;
    let mut parsed = serving.parse(body.bytes.clone()).await?;
    let served = parsed.served.clone();
    let answer = match serving.infer(&mut parsed, seat.reactor, arrived).await {
        Ok(answer) => answer,
        Err(error) => return Err((error, Some(served))),
    };
    let timing = server_timing(&answer);
    let rows = answer.clone();
    let text = match serving.print(&answer, move || render(&parsed, &rows)).await {
        Ok(text) => text,
        Err(error) => return Err((error, Some(served))),
    };
    let mut response = Response::new(Body::from(text));
    *response.headers_mut() = served.headers.clone();
    response.headers_mut().insert(SERVER_TIMING, timing);
    Ok(Answered { response, served: Some(served), error: None })
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

/// `queue;dur=0.012, execute;dur=0.034`, in milliseconds.
fn server_timing(answer: &Answer) -> HeaderValue {
    let mut text = Vec::with_capacity(48);
    for (name, time) in [("queue;dur=", answer.queued), (", execute;dur=", answer.executed)] {
        let micros = time.as_micros();
        text.extend_from_slice(name.as_bytes());
        // Whole microseconds as a decimal fraction: formatting floats showed in the profile.
        text.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
        let digit = |place: u128| b'0' + u8::try_from(micros / place % 10).unwrap_or(0);
        text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timing_is_in_milliseconds() {
        let time = Duration::from_micros;
        let answer = Answer { columns: [].into(), rows: 0..0, queued: time(7), executed: time(12_045) };
        assert_eq!(server_timing(&answer), "queue;dur=0.007, execute;dur=12.045");
    }
}
