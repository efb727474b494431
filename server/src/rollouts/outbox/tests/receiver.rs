//! A receiver that answers as it is told to.

use std::collections::VecDeque;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::lifecycle::Lifecycle;

/// One request.
#[derive(Debug, Clone)]
pub struct Got {
    pub path: String,
    pub key: String,
    pub agent: String,
    pub body: Value,
    pub at: Instant,
}

/// What the next requests get; then all of them get 200.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Status(u16),
    RetryAfter(u16, u64),
    Never,
}

#[derive(Clone, Default)]
pub struct Receiver {
    script: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<Got>>>,
    /// Where no request is ever answered.
    hangs: Option<&'static str>,
}

impl Receiver {
    pub fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    pub fn hanging_at(path: &'static str) -> Self {
        Self { hangs: Some(path), ..Self::default() }
    }

    pub async fn listen(&self) -> (SocketAddr, JoinHandle<()>) {
        self.listen_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub async fn listen_at(&self, address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(self.clone());
        let task = Lifecycle::default().spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (address, task)
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.got.lock().len()
    }
}

async fn answer(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    receiver.got.lock().push(Got {
        path: uri.path().to_owned(),
        key: header("idempotency-key"),
        agent: header("user-agent"),
        body: serde_json::from_str(&body).unwrap(),
        at: Instant::now(),
    });
    if receiver.hangs.is_some_and(|path| uri.path().ends_with(path)) {
        return pending().await;
    }
    let next = receiver.script.lock().pop_front();
    match next {
        None => StatusCode::OK.into_response(),
        Some(Answer::Status(status)) => {
            (StatusCode::from_u16(status).unwrap(), format!("no\nwhere: {uri}")).into_response()
        }
        Some(Answer::RetryAfter(status, after)) => {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", after.to_string())]).into_response()
        }
        Some(Answer::Never) => pending().await,
    }
}
