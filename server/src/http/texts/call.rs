//! What all requests for texts have in common: a body that is read, a model that is found, texts that are run, and an
//! answer with its headers. Whatever takes long leaves the reactor.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderMap;

use super::find::{Needs, find};
use super::{headers, write};
use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::http::body::Buffered;
use crate::http::response::Answered;
use crate::lifecycle::Lifecycle;
use crate::reactor::Seat;
use crate::serving::{Asked, Failed};
use crate::texts::{RanTexts, TextAsk};

/// Bodies above this are parsed on another thread: numbers in them take 5 ns a byte, so this much takes 500 µs.
const LARGE_BODY: usize = 96 << 10;
/// Characters of bodies above this are counted on another thread: 10 MB take 500 µs at best.
const LARGE_TEXT: usize = 2 << 20;
/// Floats above this are printed on another thread: at 7 ns each, and up to 38 where they are not below 1.
const LARGE_ANSWER: usize = 16 << 10;
/// The same for base64, at 1.3 ns.
const LARGE_BASE64: usize = 256 << 10;

/// One request, read.
pub struct Call<'s> {
    seat: &'s Seat,
    headers: HeaderMap,
    /// Its body.
    pub body: Buffered,
    arrived: Instant,
}

/// Texts that were run.
pub struct Ran {
    /// What came of it.
    pub texts: RanTexts,
    characters: usize,
}

impl<'s> Call<'s> {
    /// Reads a body within its size and its time.
    ///
    /// # Errors
    /// 413, 408, 429, or what is wrong with it when the client breaks off.
    pub async fn read(seat: &'s Seat, request: Request) -> Result<Self, ApiError> {
        let serving = &seat.serving;
        let arrived = Instant::now();
        let (head, body) = request.into_parts();
        let body = serving.bodies.read(&head.headers, body, arrived + serving.timeout).await?;
        Ok(Self::of(seat, head.headers, body, arrived))
    }

    /// A request that was read already.
    #[must_use]
    pub const fn of(seat: &'s Seat, headers: HeaderMap, body: Buffered, arrived: Instant) -> Self {
        Self { seat, headers, body, arrived }
    }

    /// Understands the body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn parse<T: Send + 'static>(&self, parse: fn(&[u8]) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let body = self.body.bytes.clone();
        work(self.lifecycle(), body.len() > LARGE_BODY, move || parse(&body)).await
    }

    /// The stable version of the model that is meant.
    ///
    /// # Errors
    /// See [`find`].
    pub fn find(&self, named: Option<&str>, needs: Needs) -> Result<Arc<Served>, ApiError> {
        find(&self.seat.serving.catalog.load(), named, needs).cloned()
    }

    /// Runs texts on the model that is meant.
    ///
    /// # Errors
    /// Everything that may be wrong with them, the model's failure, a full queue, or the deadline.
    pub async fn run(&self, mut ask: TextAsk, needs: Needs) -> Result<Ran, Failed> {
        ask.model = Some(self.find(ask.model.as_deref(), needs)?.model.clone());
        let large = self.body.bytes.len() > LARGE_TEXT;
        let count = move || Ok((headers::characters(&ask.inputs), ask));
        let (characters, ask) = work(self.lifecycle(), large, count).await?;
        let reactor = self.seat.reactor;
        let (body, at_once) = (&self.body.bytes, self.body.at_once);
        let asked = Asked { headers: &self.headers, body, at_once, reactor, arrived: self.arrived };
        let texts = self.seat.serving.texts(asked, ask).await?;
        Ok(Ran { texts, characters })
    }

    /// Answers with what `write` makes of the outputs.
    ///
    /// # Errors
    /// When the outputs are not what was asked for.
    pub async fn answer(
        &self,
        ran: Ran,
        base64: bool,
        write: impl FnOnce(&RanTexts) -> Result<Vec<u8>, ApiError> + Send + 'static,
    ) -> Result<Answered, Failed> {
        let Ran { texts, characters } = ran;
        let served = texts.served.clone();
        let headers = headers::of(&texts, characters, self.arrived, headers::compute_type(served.runtime.device()));
        let large = write::count(&texts.answers) > if base64 { LARGE_BASE64 } else { LARGE_ANSWER };
        match work(self.lifecycle(), large, move || write(&texts)).await {
            Ok(body) => Ok(finished(served, headers, body)),
            Err(error) => Err((error, Some(served))),
        }
    }

    /// Answers with what `make` makes of the model's files, without running it.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn make(
        &self,
        served: Arc<Served>,
        large: bool,
        make: impl FnOnce(&Served) -> Result<Vec<u8>, ApiError> + Send + 'static,
    ) -> Result<Answered, Failed> {
        let made = served.clone();
        match work(self.lifecycle(), large, move || make(&made)).await {
            Ok(body) => {
                let headers = served.headers.clone();
                Ok(finished(served, headers, body))
            }
            Err(error) => Err((error, Some(served))),
        }
    }

    fn lifecycle(&self) -> &Lifecycle {
        &self.seat.serving.lifecycle
    }
}

fn finished(served: Arc<Served>, headers: HeaderMap, body: Vec<u8>) -> Answered {
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers;
    Answered::by(served, response)
}

/// Works here, or on another thread if it takes long.
pub async fn work<T: Send + 'static>(
    lifecycle: &Lifecycle,
    large: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if !large {
        return work();
    }
    let panicked = |_| Err(ApiError::new(Kind::Internal, "the work on a large request panicked; see the server's log"));
    lifecycle.spawn_blocking(work).await.unwrap_or_else(panicked)
}
