//! Whether a device can be used at all: a graph of one node is run on it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::session::Session;
use ort::value::TensorRef;
use perch_models::backend::{Device, LoadError};

use crate::provider::{folder_with, script};

/// `y = Relu(x)`, both float [1]: an ONNX file (IR version 8, opset 13).
const GRAPH: &[u8] =
    b"\x08\x08:7\n\x0c\n\x01x\x12\x01y\"\x04Relu\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01\
    b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x02\x10\r";

/// What is known of devices. Each is tried once a process.
#[derive(Default)]
pub(crate) struct Known(Mutex<Vec<(Device, Result<(), String>)>>);

impl Known {
    /// Whether `device` can be used with `library`: `open` opens a graph on it.
    pub(crate) fn check(
        &self,
        device: Device,
        library: &Path,
        open: impl FnOnce(&[u8]) -> Result<Session, ort::Error>,
    ) -> Result<(), LoadError> {
        let refused = |message| LoadError::Device { device, message };
        // The lock is held while it is tried: others wait for what this one finds.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, result)) = known.iter().find(|(known, _)| *known == device) {
            return result.clone().map_err(refused);
        }
        let result = find_out(device, library, open);
        known.push((device, result.clone()));
        result.map_err(refused)
    }
}

fn find_out(
    device: Device,
    library: &Path,
    open: impl FnOnce(&[u8]) -> Result<Session, ort::Error>,
) -> Result<(), String> {
    if folder_with(library, device).is_none() {
        return Err(format!(
            "the ONNX Runtime in {} has no such provider; run {}, and leave runtime.library and ORT_DYLIB_PATH out or point \
             them to what it prints",
            library.display(),
            script(device)
        ));
    }
    let failed = |error: ort::Error| {
        let message = error.message().trim().to_owned();
        match device {
            Device::Cuda(_) => format!("{message}; does nvidia-smi show it, with a driver for CUDA 13?"),
            _ => message,
        }
    };
    let mut session = open(GRAPH).map_err(failed)?;
    let one = [1.0_f32];
    let input = TensorRef::from_array_view(([1_usize], one.as_slice())).map_err(failed)?;
    session.run(ort::inputs![input]).map(drop).map_err(failed)
}
