//! What the integration tests stand on: servers in this process and as processes of their own, a plain HTTP client,
//! folders of models, and a backend that does what its input says.
//!
//! Nothing here retries or hides a failure: what a test does not expect ends it.

#![expect(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "a test that cannot go on ends")]

pub mod client;
pub mod fake;
pub mod json;
pub mod load;
pub mod metrics;
pub mod models;
pub mod process;
pub mod reply;
pub mod server;
pub mod wait;

pub use client::Client;
pub use models::Models;
pub use process::PerchProcess;
pub use reply::Reply;
pub use server::TestServer;
