//! Libraries of ONNX Runtime, each for other devices. A process can load one: tests of several start processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::models::root;

/// The library that tests run on: for the CPU alone.
pub fn cpu() -> PathBuf {
    match std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        Some(path) => file(Path::new(&path)),
        None => file(&fetched(&[])),
    }
}

/// The one with OpenVINO, fetched where it is not there yet (84 MB); or why there is none.
pub fn openvino() -> Result<PathBuf, String> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Ok(file(&fetched(&["--openvino"])))
    } else {
        Err("ONNX Runtime with OpenVINO is there for Linux on x86_64 alone".into())
    }
}

/// The one with CUDA, where it was fetched and there is a GPU; or what is missing. It is not fetched for a test: 1.6 GB.
pub fn cuda() -> Result<PathBuf, String> {
    let fetched = root().join(".perch/onnxruntime/gpu/libonnxruntime.so");
    if !Path::new("/proc/driver/nvidia/version").exists() {
        Err("this machine has no NVIDIA driver".into())
    } else if !fetched.is_file() {
        Err("run scripts/onnxruntime --gpu first".into())
    } else {
        Ok(fetched)
    }
}

/// What Linux says that the processor can do, such as `amx_bf16`.
pub fn has_instructions(flag: &str) -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().any(|line| line.starts_with("flags") && line.split_ascii_whitespace().any(|known| known == flag))
}

/// Runs `scripts/onnxruntime`, and gives the folder that it prints.
fn fetched(arguments: &[&str]) -> PathBuf {
    let mut command = Command::new(root().join("scripts/onnxruntime"));
    let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("scripts/onnxruntime");
    assert!(output.status.success(), "scripts/onnxruntime {arguments:?} says why");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    PathBuf::from(text.lines().last().expect("a folder"))
}

/// A folder is as good as the library in it.
fn file(path: &Path) -> PathBuf {
    let name = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };
    if path.is_dir() { path.join(name) } else { path.to_owned() }
}
