//! Runs models on ONNX Runtime. No other crate names `ort`.

mod backend;
mod convert;
mod library;
mod loader;
mod memory;
mod probe;
mod processor;
mod provider;
mod telemetry;

pub use library::{LibraryError, find};
pub use loader::{OnnxLoader, OpenError};
pub use memory::keep_memory;
pub use telemetry::disable_telemetry;
