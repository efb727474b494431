//! Where the ONNX Runtime library is: configured, beside the executable, or where `scripts/onnxruntime` puts it.

use std::path::{Path, PathBuf};

use perch_models::backend::Device;
use thiserror::Error;

use crate::provider::{folder_with, script};

/// The version that perch is built for and tested with. The one with OpenVINO is older ([`OPENVINO`]): anything from 1.17
/// on has the functions that perch calls.
pub(crate) const VERSION: &str = "1.31.1";
const NAME: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };
/// The folders that `scripts/onnxruntime` fills, below a checkout. The GPU build runs on CPUs too.
const FOLDERS: [&str; 2] = [".perch/onnxruntime/gpu", ".perch/onnxruntime/cpu"];
/// The folder of `scripts/onnxruntime --openvino`, for that device alone: ONNX Runtime 1.24.1.
const OPENVINO: [&str; 1] = [".perch/onnxruntime/openvino"];

/// There is no usable ONNX Runtime.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LibraryError {
    /// The configured file does not exist.
    #[error(
        "runtime.library: {} does not exist; run scripts/onnxruntime and leave the setting out, or point it to ONNX Runtime {VERSION}", path.display()
    )]
    Configured {
        /// The configured path.
        path: PathBuf,
    },
    /// Nothing was configured and nothing was found.
    #[error(
        "ONNX Runtime {VERSION} was not found (looked for {NAME} beside the executable and for {}): run scripts/onnxruntime, or set runtime.library or ORT_DYLIB_PATH", FOLDERS[1]
    )]
    NotFound,
    /// A model computes with OpenVINO, and no library with that was found.
    #[error(
        "ONNX Runtime with OpenVINO was not found (looked for it beside the executable and in {}): run {}, or set runtime.library or ORT_DYLIB_PATH", OPENVINO[0], script(Device::OpenVino)
    )]
    NoOpenVino,
    /// The file is no ONNX Runtime that fits.
    #[error("{} is not a usable ONNX Runtime {VERSION}: {message}; run scripts/onnxruntime", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What the system or the library says.
        message: String,
    },
}

/// Finds the library: `configured` (the configuration includes `ORT_DYLIB_PATH`), then beside `executable`, then in the
/// folder that `scripts/onnxruntime` fills, below `here` or below a parent of the executable. Where OpenVINO is among
/// `devices`, it has to be one that has it: there is one library a process.
///
/// # Errors
/// Says what to run.
pub fn find(
    configured: Option<&Path>,
    executable: Option<&Path>,
    here: &Path,
    devices: &[Device],
) -> Result<PathBuf, LibraryError> {
    if let Some(path) = configured {
        // A folder is as good as the file in it.
        let path = if path.is_dir() { path.join(NAME) } else { path.to_owned() };
        return if path.is_file() { Ok(path) } else { Err(LibraryError::Configured { path }) };
    }
    let beside = executable.and_then(Path::parent).map(|folder| folder.join(NAME));
    let parents = std::iter::once(here).chain(executable.into_iter().flat_map(|path| path.ancestors().skip(1)));
    let openvino = devices.contains(&Device::OpenVino);
    let folders: &[&str] = if openvino { &OPENVINO } else { &FOLDERS };
    let fetched = parents.flat_map(|parent| folders.iter().map(move |folder| parent.join(folder).join(NAME)));
    let fits = |path: &PathBuf| path.is_file() && (!openvino || folder_with(path, Device::OpenVino).is_some());
    let missing = if openvino { LibraryError::NoOpenVino } else { LibraryError::NotFound };
    beside.into_iter().chain(fetched).find(fits).ok_or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, "").expect("written");
        path.to_owned()
    }

    #[test]
    fn the_configured_library_wins_and_must_exist() {
        let dir = std::env::temp_dir().join(format!("perch-library-{}", std::process::id()));
        let beside = file(&dir.join("bin").join(NAME));
        let fetched = file(&dir.join(FOLDERS[1]).join(NAME));
        let executable = dir.join("bin/perch");
        let nowhere = dir.join("nowhere");
        let find = |configured: Option<&Path>, executable: Option<&Path>, here: &Path| {
            find(configured, executable, here, &[Device::Auto, Device::Cpu])
        };
        assert_eq!(find(Some(&fetched), Some(&executable), &nowhere), Ok(fetched.clone()));
        assert_eq!(find(Some(&dir.join("bin")), None, &nowhere), Ok(beside.clone()));
        let error = find(Some(&dir.join("none.so")), Some(&executable), &dir).expect_err("does not exist");
        assert!(error.to_string().contains("run scripts/onnxruntime"), "{error}");
        assert_eq!(find(None, Some(&executable), &nowhere), Ok(beside));
        // As from target/release/perch: a parent of the executable is the checkout.
        assert_eq!(find(None, Some(&dir.join("target/release/perch")), &nowhere), Ok(fetched));
        assert_eq!(find(None, None, &nowhere), Err(LibraryError::NotFound));
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn openvino_has_a_library_of_its_own() {
        let dir = std::env::temp_dir().join(format!("perch-openvino-{}", std::process::id()));
        file(&dir.join("bin").join(NAME));
        file(&dir.join(FOLDERS[0]).join(NAME));
        let executable = dir.join("bin/perch");
        let found = || find(None, Some(&executable), &dir, &[Device::Cpu, Device::OpenVino]);
        assert_eq!(found(), Err(LibraryError::NoOpenVino));
        let own = file(&dir.join(OPENVINO[0]).join(NAME));
        assert_eq!(found(), Err(LibraryError::NoOpenVino), "its provider is missing");
        file(&dir.join(OPENVINO[0]).join("libonnxruntime_providers_openvino.so"));
        assert_eq!(found(), Ok(own));
        // What is configured is taken at its word: whether it has the device is seen when that is used.
        let configured = dir.join("bin").join(NAME);
        assert_eq!(find(Some(&configured), None, &dir, &[Device::OpenVino]), Ok(configured.clone()));
        fs::remove_dir_all(dir).expect("removed");
    }
}
