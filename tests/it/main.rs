//! Everything that is tested from outside: over HTTP, with ONNX Runtime, and with the real binary.

mod bad_input;
mod cli;
mod cli_models;
mod faults;
mod guarded;
mod health;
mod lifecycle;
mod metrics;
mod mlflow;
mod predictions;
mod property;
mod registry;
mod telemetry;
mod webhook;

/// The real binary.
const PERCH: &str = env!("CARGO_BIN_EXE_perch");
