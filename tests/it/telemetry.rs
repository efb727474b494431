//! Traces: a collector in this process gets the spans of the real binary.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use perch_testkit::process::command;
use perch_testkit::{Models, PerchProcess, wait};
use prost::Message;
use tokio::runtime::Runtime;

use crate::PERCH;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// What arrived.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Received {
    fn push(&self, request: ExportTraceServiceRequest) {
        self.0.lock().expect("no thread panics with it").push(request);
    }

    /// Spans with their service's name.
    fn spans(&self) -> Vec<(String, Span)> {
        let requests = self.0.lock().expect("no thread panics with it");
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|spans| {
            let attributes = spans.resource.iter().flat_map(|resource| &resource.attributes);
            let mut names = attributes.filter(|attribute| attribute.key == "service.name");
            let name = names.find_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                AnyValue::StringValue(name) => Some(name.clone()),
                _ => None,
            });
            let spans = spans.scope_spans.iter().flat_map(|scope| scope.spans.clone());
            spans.map(move |span| (name.clone().unwrap_or_default(), span))
        });
        spans.collect()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn traces(State(received): State<Received>, body: Bytes) -> Vec<u8> {
    received.push(ExportTraceServiceRequest::decode(body).expect("a request to export"));
    ExportTraceServiceResponse::default().encode_to_vec()
}

/// A collector; it ends with its runtime.
fn collector(grpc: bool) -> (Runtime, SocketAddr, Received) {
    let runtime = Runtime::new().expect("a runtime");
    let received = Received::default();
    let routes = if grpc {
        tonic::service::Routes::new(TraceServiceServer::new(received.clone())).into_axum_router()
    } else {
        Router::new().route("/v1/traces", post(traces)).with_state(received.clone())
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bound");
    let address = listener.local_addr().expect("an address");
    runtime.handle().spawn(async move { axum::serve(listener, routes).await.expect("served") });
    (runtime, address, received)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_spans_arrive(grpc: bool) {
    let (_runtime, address, received) = collector(grpc);
    let models = Models::with(&["external"]);
    let folder = models.path().to_str().expect("UTF-8");
    let mut command = command(PERCH, &["serve", "--models", folder, "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    command.env("OTEL_SERVICE_NAME", "perch-under-test").env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command.env("PERCH__SERVER__DRAIN__DELAY", "0s");
    if grpc {
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    }
    let mut perch = PerchProcess::spawn(&mut command);
    perch.wait_ready();
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let body = br#"{"instances": [[1, 1, 1, 1]]}"#;
    let reply = perch.client().request("POST", "/predict", &[("traceparent", &parent)], body);
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some(TRACE)));
    let ours = |received: &Received| received.spans().into_iter().find(|(_, span)| hex(&span.trace_id) == TRACE);
    let (service, span) = wait::until("the span of the request", || ours(&received));
    assert_eq!(service, "perch-under-test");
    assert_eq!(hex(&span.parent_span_id), PARENT, "the caller's span is its parent");
    assert_eq!(span.name, "POST /predict");
    assert_eq!(span.kind, 2, "a server's span");
    let id = span.attributes.iter().find(|attribute| attribute.key == "request_id");
    let id = id.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    assert_eq!(id, Some(&AnyValue::StringValue(TRACE.to_owned())));
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);

    // A request without a trace begins one; what was not sent yet is sent before the end.
    let before = received.spans().len();
    let reply = perch.client().request("POST", "/predict", &[], body);
    assert_eq!(reply.status, 200);
    perch.signal("TERM");
    assert_eq!(perch.wait().code(), Some(0));
    let spans = received.spans();
    assert!(spans.len() > before, "the last spans are flushed");
    let (_, last) = spans.last().expect("a span");
    assert!(last.parent_span_id.is_empty() && hex(&last.trace_id) != TRACE, "{last:?}");
}

#[test]
fn spans_arrive_over_http_under_their_callers() {
    assert_spans_arrive(false);
}

#[test]
fn spans_arrive_over_grpc_under_their_callers() {
    assert_spans_arrive(true);
}

#[test]
fn a_collector_that_is_away_fails_no_request() {
    let models = Models::with(&["external"]);
    let folder = models.path().to_str().expect("UTF-8");
    let mut command = command(PERCH, &["serve", "--models", folder, "--listen", "127.0.0.1:0", "--log-format", "json"]);
    // The discard port: nobody listens there.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").env("PERCH__SERVER__DRAIN__DELAY", "0s");
    let mut perch = PerchProcess::spawn(&mut command);
    perch.wait_ready();
    for _ in 0..20 {
        assert_eq!(perch.client().post(r#"{"instances": [[1, 1, 1, 1]]}"#).status, 200);
    }
    perch.signal("TERM");
    assert_eq!(perch.wait().code(), Some(0), "it ends well all the same");
}

/// Official builds of the library send usage data by default, and keep a device id in the user's cache folder.
#[test]
fn onnx_runtime_sends_nothing_home() {
    let home = tempfile::tempdir().expect("a folder");
    let models = Models::with(&["external"]);
    let path = models.path().display().to_string();
    let mut serve = command(PERCH, &["serve", "--models", &path, "--listen", "127.0.0.1:0", "--log-format", "json"]);
    serve.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path().join("cache"));
    let perch = PerchProcess::spawn(&mut serve);
    perch.wait_ready();
    let answer = perch.client().post(r#"{"instances": [[1, 1, 1, 1]]}"#);
    assert_eq!(answer.status, 200);
    drop(perch);
    let left: Vec<_> =
        std::fs::read_dir(home.path()).expect("readable").map(|entry| entry.expect("one").path()).collect();
    assert_eq!(left, [] as [&std::path::Path; 0], "nothing is written to the user's folders");
}
