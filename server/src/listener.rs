//! Accepts connections and hands each to the reactor that has the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Gauge;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::metrics as names;
use crate::reactor::{Accepted, Place, Reactor};

/// How long what already waits is taken for, at most, once we stop listening.
const LAST_CALL: Duration = Duration::from_millis(20);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {source}")]
pub struct BindError {
    key: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds `address`, which the configuration calls `key`.
///
/// # Errors
/// Names the key, the address and the system's reason.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

/// Accepts until `stopping`, and then takes what already waits: a client whose connection was established must not be
/// reset because we leave.
pub async fn accept(listener: TcpListener, reactors: Arc<Vec<Reactor>>, most: usize, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(most));
    let gauge = names::connections();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            accepted = next(&listener, &places, &gauge) => accepted,
        };
        hand_over(accepted, &reactors);
    }
    // Bounded: clients that come back at once would keep us here.
    let last = Instant::now() + LAST_CALL;
    while let Ok(accepted) = tokio::time::timeout(Duration::from_millis(1), next(&listener, &places, &gauge)).await {
        hand_over(accepted, &reactors);
        if Instant::now() > last {
            break;
        }
    }
}

async fn next(listener: &TcpListener, places: &Arc<Semaphore>, gauge: &Gauge) -> Option<Accepted> {
    // Without a place free, connections wait in the system's backlog. The semaphore is never closed.
    let permit = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
        Ok(stream) => Some(Accepted { stream, place: Place::new(permit, gauge.clone()) }),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Out of descriptors, most likely: let some close.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn hand_over(accepted: Option<Accepted>, reactors: &[Reactor]) {
    let least = reactors.iter().min_by_key(|reactor| reactor.load());
    if let (Some(accepted), Some(reactor)) = (accepted, least) {
        reactor.give(accepted);
    }
}
