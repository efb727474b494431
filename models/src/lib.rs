//! What a model is, where it comes from, and how its requests are batched.
//!
//! Everything here is free of HTTP and of ONNX Runtime: a model is run through the [`backend::Backend`] trait, so the
//! batching, the registry and the parsing are tested with a fake backend.

pub mod agreement;
pub mod artifact;
pub mod artifacts;
pub mod backend;
pub mod cost;
pub mod declared;
pub mod device;
pub mod digest;
pub mod dtype;
pub mod example;
pub mod fingerprint;
pub mod json;
pub mod layout;
pub mod onnx_file;
pub mod registry;
pub mod run;
pub mod signature;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod text;
pub mod version;
pub mod warmup;
pub mod watchdog;
