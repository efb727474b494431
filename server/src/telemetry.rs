//! Logs to stderr, and traces to an OpenTelemetry collector when one is configured.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tokio::runtime::Runtime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::{Config, Log, LogFormat};

/// Telemetry cannot be set up as configured.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Not a filter.
    #[error("log.filter: expected levels by target such as info,perch=debug: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be made.
    #[error("telemetry.otlpEndpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The system refuses a thread.
    #[error("cannot start a thread for telemetry: {0}")]
    Thread(#[from] std::io::Error),
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` names no protocol.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf or grpc, got \"{0}\"")]
    Protocol(String),
}

/// Flushes what is still to be exported when it is dropped.
#[derive(Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    /// Outlives the last export.
    _runtime: Option<Runtime>,
}

impl Telemetry {
    /// Sets up logs and traces for the process.
    ///
    /// # Errors
    /// Names the setting that cannot be followed.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        // gRPC's connection lives on a runtime; over HTTP the exporter's own thread is enough.
        let runtime = config.telemetry.otlp_endpoint.as_ref().filter(|_| is_grpc()).map(|_| runtime()).transpose()?;
        let entered = runtime.as_ref().map(Runtime::enter);
        let provider =
            config.telemetry.otlp_endpoint.as_deref().map(|endpoint| provider(config, endpoint)).transpose()?;
        drop(entered);
        // The exporter's own client must not trace itself.
        let spans = EnvFilter::new("info,hyper=off,reqwest=off,tonic=off,h2=off,opentelemetry=off");
        let exported = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("perch")).with_filter(spans));
        tracing_subscriber::registry().with(logs(&config.log)?).with(exported).init();
        Ok(Self { provider, _runtime: runtime })
    }

    /// Whether spans are exported.
    #[must_use]
    pub const fn exports_spans(&self) -> bool {
        self.provider.is_some()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

type BoxedLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;

fn logs(log: &Log) -> Result<BoxedLayer, TelemetryError> {
    // The runtime's own notes are for those who ask for them: a later directive for the same target wins.
    let filter = EnvFilter::try_new(format!("ort=warn,{}", log.filter))?;
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let layer = fmt::layer().with_writer(std::io::stderr);
    Ok(if text {
        layer.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
    } else {
        layer.json().flatten_event(true).with_filter(filter).boxed()
    })
}

fn is_grpc() -> bool {
    std::env::var("OTEL_EXPORTER_OTLP_PROTOCOL").is_ok_and(|protocol| protocol == "grpc")
}

fn runtime() -> Result<Runtime, TelemetryError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).thread_name("perch-telemetry").enable_all().build()?)
}

fn provider(config: &Config, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = match std::env::var("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
        // The specification's default.
        Err(_) | Ok("" | "http/protobuf") => {
            let traces = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
            SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(traces).build()?
        }
        Ok("grpc") => SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?,
        Ok(other) => return Err(TelemetryError::Protocol(other.to_owned())),
    };
    let resource = Resource::builder()
        .with_service_name(config.telemetry.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
