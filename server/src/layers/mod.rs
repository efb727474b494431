//! What every request passes before its handler.
//!
//! Outermost first, and why there:
//! 1. [`Stack::dispatch`]: health and metrics go past everything below, so that they answer when all else is full.
//!    So does a request to `/predict` for which nobody wants 2 and 3: it is what connections have room for, and whatever
//!    else is asked is boxed.
//! 2. Trace: the span covers all the rest. Only where spans are wanted.
//! 3. Compression: sees the final body, errors included. Only for clients that accept it.
//! 4. [`scope`]: request id, admission, panics, errors' bodies, metrics: whatever happens inside, one answer leaves
//!    here, counted and named. One room in place of five layers: each boxed future or body costs more than what it
//!    does.
//! 5. `/predict` and `/embed` directly, everything else through the router.

mod request_id;
mod scope;
mod trace;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::Method;
use http::header::ACCEPT_ENCODING;
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use scope::ScopeFuture;
pub use scope::{Shared, scope};
pub use trace::Spans;

use crate::error::ErrorShape;
use crate::http::predict::predict;
use crate::http::response::Answered;
use crate::http::texts::embed::embed;
use crate::reactor::Seat;

/// Answers under this many bytes are sent as they are: compressing them costs more than it saves.
const COMPRESS_ABOVE: u64 = 1024;

/// What answers the requests of one reactor.
pub struct Stack {
    /// Health and metrics.
    pub probes: Router,
    /// Every path but `/predict`.
    pub others: Router,
    /// Where `/predict` runs.
    pub seat: Arc<Seat>,
    /// What all reactors' requests share.
    pub shared: Arc<Shared>,
    /// Who wants spans.
    pub spans: Spans,
}

impl Stack {
    /// Answers one request of a connection. It never fails: failures are answers.
    pub fn dispatch(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> {
        let request: Request = request.map(Body::new);
        let plain = !request.headers().contains_key(ACCEPT_ENCODING) && !self.spans.wanted();
        let answer = if plain && is_predict(&request) {
            Either::Left(self.predict(request))
        } else {
            Either::Right(Box::pin(self.other(request, plain)))
        };
        answer.map(Ok)
    }

    fn predict(&self, request: Request) -> ScopeFuture<impl Future<Output = Answered> + use<>> {
        scope(&self.shared, ErrorShape::Ours, request, |request, arrived| predict(self.seat.clone(), request, arrived))
    }

    async fn other(self: Arc<Self>, request: Request, plain: bool) -> Response {
        if is_probe(request.uri().path()) {
            return always(self.probes.clone().oneshot(request).await);
        }
        if plain {
            return self.answer(request).await;
        }
        let compressible = SizeAbove::new(COMPRESS_ABOVE)
            .and(NotForContentType::IMAGES)
            // Each event has to arrive when it happens.
            .and(NotForContentType::SSE);
        let compressed = CompressionLayer::new().compress_when(compressible).layer(Inner(self.clone()));
        let traced = trace::layer(self.spans).layer(compressed);
        always(traced.oneshot(request).await).map(Body::new)
    }

    async fn answer(&self, request: Request) -> Response {
        if is_predict(&request) {
            return self.predict(request).await;
        }
        if is_post(&request, "/embed") {
            let embed = |request, _| embed(State(Seat::clone(&self.seat)), request);
            return scope(&self.shared, ErrorShape::of("/embed"), request, embed).await;
        }
        answer_with(&self.shared, request, self.others.clone()).await
    }
}

/// `routes` with the [`scope`] around them, for a listener apart from the reactors.
pub fn scoped(routes: Router, shared: Arc<Shared>) -> Router {
    let handle = move |request: Request| {
        let (routes, shared) = (routes.clone(), shared.clone());
        async move { answer_with(&shared, request, routes).await }
    };
    Router::new().fallback(handle)
}

async fn answer_with(shared: &Arc<Shared>, request: Request, routes: Router) -> Response {
    let handle = |request, _| async move { Answered::from(always(routes.oneshot(request).await)) };
    let shape = ErrorShape::of(request.uri().path());
    scope(shared, shape, request, handle).await
}

/// Everything inside of the optional layers, as a service.
#[derive(Clone)]
struct Inner(Arc<Stack>);

impl Service<Request> for Inner {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let stack = self.0.clone();
        Box::pin(async move { Ok(stack.answer(request).await) })
    }
}

fn always<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn is_predict(request: &Request) -> bool {
    is_post(request, "/predict")
}

fn is_post(request: &Request, path: &str) -> bool {
    request.uri().path() == path && request.method() == Method::POST
}

/// Paths that must answer when everything else is full.
fn is_probe(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}
