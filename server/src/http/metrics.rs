//! `GET /metrics`, in Prometheus' text form.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::metrics::collect_process;

/// Everything that was recorded.
pub async fn metrics(State(recorder): State<PrometheusHandle>) -> Response {
    collect_process();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, text)], recorder.render()).into_response()
}
