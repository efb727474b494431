//! `GET /metrics`, in Prometheus' text form.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::lifecycle::Lifecycle;
use crate::metrics::collect_process;

/// What the endpoint reads.
#[derive(Clone)]
pub struct Recorded {
    /// Everything that was recorded.
    pub recorder: PrometheusHandle,
    /// For printing off the reactor.
    pub lifecycle: Arc<Lifecycle>,
}

/// Everything that was recorded. Many models make many series: printing them is no work for a reactor.
pub async fn metrics(State(recorded): State<Recorded>) -> Response {
    let Recorded { recorder, lifecycle } = recorded;
    let printing = lifecycle.spawn_blocking(move || {
        collect_process();
        recorder.render()
    });
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, text)], printing.await.unwrap_or_default()).into_response()
}
