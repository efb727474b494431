//! What owns a request from its head to its answer: id, admission, panics, errors, metrics.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode, Version};
use metrics::Gauge;
use pin_project_lite::pin_project;

use super::request_id::{self, X_REQUEST_ID};
use crate::error::{ApiError, ErrorShape, Kind};
use crate::http::failure::render_error;
use crate::http::response::Answered;
use crate::lifecycle::Lifecycle;
use crate::metrics::{self as names, RequestMetrics};

/// nginx's code for a client that hung up before it was answered: counted, never sent.
const CLIENT_CLOSED: u16 = 499;

/// What all reactors' scopes share.
pub struct Shared {
    lifecycle: Arc<Lifecycle>,
    running: AtomicUsize,
    most: usize,
    gauge: Gauge,
    /// For requests that met no model.
    unattributed: RequestMetrics,
}

impl Shared {
    /// Scopes that let at most `most` requests in at once.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>, most: usize) -> Self {
        let unattributed = RequestMetrics::new("", "", "");
        Self { lifecycle, running: AtomicUsize::new(0), most, gauge: names::in_flight(), unattributed }
    }
}

/// Answers `request` with what `handle` makes of it and of the moment at which it came, or with an error in its place, which has the form `shape` whatever
/// went wrong, and wherever.
///
/// A function over a future, not a tower service: the hot path has no boxed future and moves no request twice.
pub fn scope<F: Future<Output = Answered>>(
    shared: &Arc<Shared>,
    shape: ErrorShape,
    request: Request,
    handle: impl FnOnce(Request, Instant) -> F,
) -> ScopeFuture<F> {
    let ticket = Ticket::new(shared.clone(), shape, &request);
    let state = if ticket.admitted {
        State::Running { future: handle(request, ticket.began) }
    } else {
        let message = format!("{} requests are being answered already", shared.most);
        State::Refused { error: Some(ApiError::overloaded(message, Duration::from_secs(1))) }
    };
    ScopeFuture { state, ticket }
}

fn panicked() -> ApiError {
    // The panic hook has logged where and why.
    ApiError::new(Kind::Internal, "the handler panicked; see the server's log")
}

pin_project! {
    /// Answers for the inner future.
    pub struct ScopeFuture<F> {
        #[pin]
        state: State<F>,
        ticket: Ticket,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Running { #[pin] future: F },
        Refused { error: Option<ApiError> },
    }
}

impl<F: Future<Output = Answered>> Future for ScopeFuture<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        let answered = match this.state.project() {
            StateProjection::Refused { error } => Answered::failed(error.take().unwrap_or_else(panicked), None),
            StateProjection::Running { future } => match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(polled) => ready!(polled),
                Err(_) => Answered::failed(panicked(), None),
            },
        };
        Poll::Ready(this.ticket.answer(answered))
    }
}

/// One request's stay: counted in when made, and out when answered or dropped.
struct Ticket {
    shared: Arc<Shared>,
    admitted: bool,
    answered: bool,
    began: Instant,
    id: HeaderValue,
    version: Version,
    shape: ErrorShape,
}

impl Ticket {
    fn new(shared: Arc<Shared>, shape: ErrorShape, request: &Request) -> Self {
        let admitted = shared.running.fetch_add(1, Ordering::Relaxed) < shared.most;
        shared.gauge.increment(1.0);
        let id = request_id::of(request.headers());
        let span = tracing::Span::current();
        if !span.is_disabled() {
            span.record("request_id", id.to_str().unwrap_or_default());
        }
        Self { shared, admitted, answered: false, began: Instant::now(), id, version: request.version(), shape }
    }

    fn answer(&mut self, answered: Answered) -> Response {
        self.answered = true;
        let Answered { mut response, served, error, shape } = answered;
        let requests = served.as_ref().map_or(&self.shared.unattributed, |served| &served.requests);
        if let Some(error) = error {
            names::count_error(requests.model(), error.kind.wire().1);
            render_error(&mut response, shape.unwrap_or(self.shape), &error, &self.id);
        }
        requests.record(response.status(), self.began.elapsed());
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, self.id.clone());
        if self.shared.lifecycle.is_draining() && self.version < Version::HTTP_2 {
            // The client takes its next request elsewhere, and no connection is cut under it.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::Relaxed);
        self.shared.gauge.decrement(1.0);
        if !self.answered
            && let Ok(closed) = StatusCode::from_u16(CLIENT_CLOSED)
        {
            self.shared.unattributed.record(closed, self.began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    fn shared(most: usize) -> Arc<Shared> {
        Arc::new(Shared::new(Arc::default(), most))
    }

    async fn handler(path: String) -> Response {
        match path.as_str() {
            "/late" => {
                tokio::task::yield_now().await;
                panic!("late")
            }
            "/waiting" => std::future::pending().await,
            "/error" => ApiError::overloaded("busy", Duration::from_millis(1500)).into_response(),
            _ => "fine".into_response(),
        }
    }

    async fn get_from(shared: &Arc<Shared>, path: &str) -> (StatusCode, http::HeaderMap, String) {
        let request = Request::builder().uri(path).header(X_REQUEST_ID, "r-1").body(Body::empty()).expect("valid");
        let response = scope(shared, ErrorShape::of(path), request, |request, _| {
            let path = request.uri().path().to_owned();
            async { Answered::from(handler(path).await) }
        })
        .await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("utf-8"))
    }

    #[tokio::test]
    async fn a_panic_is_one_requests_500() {
        let shared = shared(10);
        let (status, headers, body) = get_from(&shared, "/late").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(headers[X_REQUEST_ID], "r-1");
        let expected = r#"{"error":{"code":"internal","message":"the handler panicked; see the server's log","request_id":"r-1"}}"#;
        assert_eq!(body.trim_end(), expected);
        assert_eq!(get_from(&shared, "/ok").await.0, StatusCode::OK, "the next request is served");
        assert_eq!(shared.running.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn more_requests_than_may_run_are_shed_at_once() {
        let shared = shared(1);
        let mut held = Box::pin(get_from(&shared, "/waiting"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await.is_pending());
        let (status, headers, body) = get_from(&shared, "/ok").await;
        assert_eq!((status, &headers["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from_static("1")));
        assert!(body.contains(r#""code":"overloaded""#), "{body}");
        drop(held);
        assert_eq!(get_from(&shared, "/ok").await.0, StatusCode::OK, "a client that hung up makes room");
    }

    #[tokio::test]
    async fn the_path_decides_what_an_error_looks_like() {
        let shared = shared(1);
        let mut held = Box::pin(get_from(&shared, "/waiting"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await.is_pending());
        let (status, headers, body) = get_from(&shared, "/embed").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            (&headers["retry-after"], &headers[X_REQUEST_ID]),
            (&"1".parse().expect("valid"), &"r-1".parse().expect("valid"))
        );
        let expected = r#"{"error":"1 requests are being answered already","error_type":"Overloaded"}"#;
        assert_eq!(body.trim_end(), expected);
        let (status, _, body) = get_from(&shared, "/v1/embeddings").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert!(body.contains(r#""type":"rate_limit_error","param":null,"code":"overloaded""#), "{body}");
    }

    #[tokio::test]
    async fn retry_after_is_whole_seconds_rounded_up() {
        assert_eq!(get_from(&shared(1), "/error").await.1["retry-after"], "2");
    }
}
