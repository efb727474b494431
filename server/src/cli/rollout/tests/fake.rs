//! A server that answers as `/admin/rollouts` does, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::lifecycle::Lifecycle;

/// What one connection to the events gets: pieces, each after some milliseconds. Then it ends.
pub(super) type Script = Vec<(u64, String)>;

/// One request as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) if_match: Option<String>,
    pub(super) token: Option<String>,
    pub(super) body: Value,
}

/// What the server is to answer with.
#[derive(Default)]
struct Inner {
    views: Mutex<Vec<Value>>,
    refusal: Mutex<Option<(u16, String)>>,
    scripts: Mutex<VecDeque<Script>>,
    asked: Mutex<Vec<Asked>>,
}

pub(super) struct Fake {
    pub(super) address: String,
    inner: Arc<Inner>,
    _lifecycle: Lifecycle,
}

impl Fake {
    pub(super) async fn with(views: Vec<Value>) -> Self {
        let inner = Arc::new(Inner { views: Mutex::new(views), ..Inner::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let lifecycle = Lifecycle::default();
        lifecycle.spawn(async move { axum::serve(listener, app).await });
        Self { address, inner, _lifecycle: lifecycle }
    }

    /// Every request is refused from now on.
    pub(super) fn refuse(&self, status: u16, body: &Value) {
        *self.inner.refusal.lock() = Some((status, body.to_string()));
    }

    /// Adds what the next connection to the events gets.
    pub(super) fn script(&self, script: Script) {
        self.inner.scripts.lock().push_back(script);
    }

    /// What was asked since the last look.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.inner.asked.lock())
    }
}

/// A view as an event.
pub(super) fn event(view: &Value) -> String {
    format!("event: rollout\nid: {}\ndata: {view}\n\n", view["generation"])
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    inner.asked.lock().push(Asked {
        what: format!("{} {}", head.method, head.uri),
        if_match: header("if-match"),
        token: header("authorization"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    if let Some((status, text)) = inner.refusal.lock().clone() {
        return (StatusCode::from_u16(status).expect("a status"), text).into_response();
    }
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let views = inner.views.lock().clone();
    let named = |name: &str| views.iter().find(|view| view["model"] == name).cloned();
    let answered = match (&head.method, path.as_slice()) {
        (&Method::GET, ["admin", "rollouts"]) => Some(json!({"rollouts": views})),
        (&Method::GET, ["admin", "rollouts", _, "history"]) => Some(super::history()),
        (&Method::GET, ["admin", "rollouts", _, "events"]) => return events(&inner),
        (&Method::GET, ["admin", "rollouts", model]) | (&Method::POST, ["admin", "rollouts", model, _]) => named(model),
        _ => None,
    };
    match answered {
        Some(value) => axum::body::Body::from(value.to_string()).into_response(),
        None => {
            let error =
                json!({"error": {"code": "model_not_found", "message": "no model of that name", "request_id": "r"}});
            (StatusCode::NOT_FOUND, error.to_string()).into_response()
        }
    }
}

fn events(inner: &Inner) -> Response {
    let Some(script) = inner.scripts.lock().pop_front() else {
        let error = json!({"error": {"code": "not_ready", "message": "starting", "request_id": "r"}});
        return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response();
    };
    let pieces = stream::unfold(VecDeque::from(script), |mut script| async move {
        let (wait, piece) = script.pop_front()?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), script))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response()
}
