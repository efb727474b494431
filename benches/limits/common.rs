//! What the two limit servers share: flags, a runtime for the number of cores, and serving.

use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Flags of both servers.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Cores to use: 1 is a current-thread runtime, more is a multi-thread one with a worker each.
    #[arg(long, default_value_t = 1)]
    pub cores: usize,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// The runtime that a normal axum user would take for `cores`.
fn runtime(cores: usize) -> std::io::Result<Runtime> {
    if cores <= 1 {
        return Builder::new_current_thread().enable_all().build();
    }
    Builder::new_multi_thread().worker_threads(cores).enable_all().build()
}

/// Serves `router` until the process is killed.
pub fn serve(common: &Common, router: Router) -> Result<(), Box<dyn std::error::Error>> {
    runtime(common.cores)?.block_on(async {
        // Without it the kernel may hold a small answer back for the client's acknowledgement.
        let listener = TcpListener::bind(common.listen).await?.tap_io(|stream| {
            stream.set_nodelay(true).ok();
        });
        Ok(axum::serve(listener, router).await?)
    })
}
