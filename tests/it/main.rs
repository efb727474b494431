//! Everything that is tested from outside: over HTTP, with ONNX Runtime, and with the real binary.

mod bad_input;
mod faults;
mod health;
mod metrics;
mod predictions;
mod property;
mod registry;

/// The real binary.
const PERCH: &str = env!("CARGO_BIN_EXE_perch");
