//! Runs models on ONNX Runtime. No other crate names `ort`.

mod backend;
mod convert;
mod library;
mod loader;

pub use library::{LibraryError, find};
pub use loader::{OnnxLoader, OpenError};
