//! The outbox between a store in a file and receivers on the network.

mod desk;
mod order;
mod receiver;
mod registry;
mod tries;

use std::time::Duration;

use tokio::time::sleep;

/// Waits for what is to come: longer than it takes on the slowest machine.
async fn until(what: &str, mut arrived: impl AsyncFnMut() -> bool) {
    for _ in 0..6000 {
        if arrived().await {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within a minute");
}
