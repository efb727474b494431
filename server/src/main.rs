//! The `perch` binary: the only place where ONNX Runtime meets the server.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use perch_models::backend::{Device, Loader};
use perch_onnx::OnnxLoader;

/// With glibc's malloc the small allocations of a request were five percent of its time. ONNX Runtime computes in memory
/// of this one, too (`perch_onnx`), and has its small objects from glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    perch_onnx::disable_telemetry();
    perch_onnx::keep_memory();
    perch_server::cli::main(start)
}

fn start(library: Option<&Path>, devices: &[Device]) -> Result<Arc<dyn Loader>, String> {
    let loader = OnnxLoader::start(library, devices).map_err(|error| error.to_string())?;
    tracing::info!(library = %loader.library().display(), "ONNX Runtime loaded");
    Ok(Arc::new(loader))
}
