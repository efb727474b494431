//! A span for each request, where anybody wants spans: they cost more than a small model's run.

use http::{HeaderMap, Request};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::trace::{MakeSpan, TraceLayer};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes the span of a request, a child of the caller's by W3C Trace Context.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// Whether spans are exported.
    pub exported: bool,
}

/// The layer. Failures are logged where they happen, not here once more.
pub fn layer(spans: Spans) -> TraceLayer<SharedClassifier<ServerErrorsAsFailures>, Spans, (), (), (), (), ()> {
    TraceLayer::new_for_http()
        .make_span_with(spans)
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

impl Spans {
    /// Whether anybody looks at spans: an exporter, or a log at debug.
    #[must_use]
    pub fn wanted(self) -> bool {
        self.exported || tracing::enabled!(tracing::Level::DEBUG)
    }
}

impl<B> MakeSpan<B> for Spans {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        if !self.exported {
            return tracing::debug_span!(
                "request", method = %request.method(), path = request.uri().path(), request_id = Empty
            );
        }
        let span = tracing::info_span!(
            "request",
            otel.kind = "server",
            otel.name = format!("{} {}", request.method(), request.uri().path()),
            method = %request.method(),
            path = request.uri().path(),
            request_id = Empty
        );
        // A parent that is no W3C context makes a new trace.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(request.headers())));
        span
    }
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
