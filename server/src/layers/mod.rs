//! What every request passes before its handler.
//!
//! Outermost first, and why there:
//! 1. [`dispatch`]: health and metrics go past everything below, so that they answer when all else is full.
//! 2. Trace: the span covers all the rest. It is made only where spans are exported or logged.
//! 3. Compression: sees the final body, errors included.
//! 4. [`scope`]: request id, admission, panics, errors' bodies, metrics: whatever happens inside, one answer leaves
//!    here, counted and named. One layer in place of five: each boxed future or body costs more than what it does.
//! 5. The router and its handlers.

mod request_id;
mod scope;
mod trace;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use tower::{Layer, ServiceExt};
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{Compression, CompressionLayer};

pub use scope::{Scope, ScopeLayer, Shared};
pub use trace::Spans;

/// Answers under this many bytes are sent as they are: compressing them costs more than it saves.
const COMPRESS_ABOVE: u64 = 1024;

type Compressible = And<SizeAbove, NotForContentType>;
type Layered = trace::Trace<Compression<Scope<Router>, Compressible>>;

/// The service of one reactor: probes beside, everything else through the layers.
#[derive(Clone)]
pub struct Stack {
    probes: Router,
    data: Layered,
}

impl Stack {
    /// `data` behind the layers, `probes` past them.
    #[must_use]
    pub fn new(probes: Router, data: Router, shared: Arc<Shared>, spans: Spans) -> Self {
        let compressible = SizeAbove::new(COMPRESS_ABOVE).and(NotForContentType::IMAGES);
        let scoped = ScopeLayer(shared).layer(data);
        let compressed = CompressionLayer::new().compress_when(compressible).layer(scoped);
        Self { probes, data: trace::layer(spans).layer(compressed) }
    }

    /// Answers one request of a connection.
    ///
    /// # Errors
    /// Never: failures are answers.
    pub async fn dispatch(self, request: http::Request<Incoming>) -> Result<Response, Infallible> {
        let request: Request = request.map(Body::new);
        if is_probe(request.uri().path()) {
            return self.probes.oneshot(request).await;
        }
        self.data.oneshot(request).await.map(|response| response.map(Body::new))
    }
}

/// Paths that must answer when everything else is full.
fn is_probe(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}
