//! Everything that is tested from outside: over HTTP, with ONNX Runtime, and with the real binary.

mod agreement;
mod bad_input;
mod cli;
mod cli_models;
mod cuda;
mod embed;
mod faults;
mod fleet;
mod guarded;
mod health;
mod lifecycle;
mod metrics;
mod mlflow;
mod openvino;
mod predictions;
mod property;
mod registry;
mod rollout;
mod rollout_life;
mod smoke;
mod telemetry;
mod webhook;

/// The real binary.
const PERCH: &str = env!("CARGO_BIN_EXE_perch");
