//! What the integration tests stand on: servers in this process and as processes of their own, a plain HTTP client,
//! folders of models, a backend that does what its input says, a real embedder, real MLflow, MinIO and PostgreSQL, and a network to break.
//!
//! Nothing here retries or hides a failure: what a test does not expect ends it.

#![expect(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "a test that cannot go on ends")]

pub mod client;
pub mod fake;
pub mod fault;
pub mod health;
pub mod json;
pub mod load;
pub mod metrics;
pub mod metronome;
pub mod minilm;
pub mod models;
pub mod postgres;
pub mod process;
pub mod registrar;
pub mod reply;
pub mod rollout;
pub mod runner;
pub mod runtime;
pub mod scripts;
pub mod server;
pub mod services;
pub mod state;
pub mod wait;

pub use client::Client;
pub use fault::FaultProxy;
pub use health::Health;
pub use metronome::Metronome;
pub use models::Models;
pub use postgres::Postgres;
pub use process::PerchProcess;
pub use registrar::{Registrar, Store};
pub use reply::Reply;
pub use rollout::Rollout;
pub use server::TestServer;
pub use services::Services;
