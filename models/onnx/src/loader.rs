//! Opens sessions: the library once a process, a session a copy of a model.

use std::path::{Path, PathBuf};

use ort::ep;
use ort::logging::LogLevel;
use ort::session::Session;
use perch_models::backend::{Backend, Device, LoadError, Loader, SessionOptions};
use thiserror::Error;

use crate::backend::OnnxBackend;
use crate::library::{self, LibraryError};

/// The runtime could not be started.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No usable library.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// ONNX Runtime, loaded.
pub struct OnnxLoader {
    environment: ort::environment::Environment,
    library: PathBuf,
}

impl OnnxLoader {
    /// Loads the library that `configured`, the executable's place or the current folder lead to (see
    /// [`find`](crate::find)). Once a process: ONNX Runtime has one environment.
    ///
    /// # Errors
    /// One message that says what to run.
    pub fn start(configured: Option<&Path>) -> Result<Self, OpenError> {
        let executable = std::env::current_exe().ok();
        let here = std::env::current_dir().unwrap_or_default();
        let path = library::find(configured, executable.as_deref(), &here)?;
        let unfit = |message: String| LibraryError::Unfit { path: path.clone(), message };
        let environment = ort::init_from(&path)
            .map_err(|error| unfit(error.to_string()))?
            .with_name("perch")
            .with_telemetry(false)
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        if let Some(folder) = cuda_folder(&path) {
            // The provider does not look beside itself for the CUDA and cuDNN libraries that came with it.
            if let Err(error) = ep::cuda::preload_dylibs(Some(&folder), Some(&folder)) {
                tracing::debug!(%error, "CUDA libraries beside the runtime could not be loaded");
            }
        }
        // Below this the library would print every message only for us to drop it, also while it runs models.
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment, library: path })
    }

    /// The library in use.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    fn session(&self, options: &SessionOptions, cuda: Option<u32>) -> Result<Session, ort::Error> {
        let mut builder = Session::builder(&self.environment)?
            .with_intra_threads(options.threads)?
            .with_inter_threads(1)?
            .with_log_level(LogLevel::Warning)?
            // Threads that spin between runs would take the cores that read requests.
            .with_intra_op_spinning(false)?;
        if let Some(id) = cuda {
            let id = i32::try_from(id).unwrap_or(i32::MAX);
            builder = builder
                .with_execution_providers([ep::CUDA::default().with_device_id(id).build().error_on_failure()])?;
        }
        builder.commit_from_file(&options.graph)
    }
}

/// The folder of `library`, when this build of it can compute on CUDA devices: then its provider lies beside it.
fn cuda_folder(library: &Path) -> Option<PathBuf> {
    let real = library.canonicalize().ok()?;
    let folder = real.parent()?;
    folder.join("libonnxruntime_providers_cuda.so").is_file().then(|| folder.to_owned())
}

impl Loader for OnnxLoader {
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        let graph = |error: ort::Error| LoadError::Graph(error.message().trim().to_owned());
        let session = match options.device {
            Device::Cuda(id) => self.session(options, Some(id)).map_err(|error| LoadError::Device {
                device: options.device,
                message: format!("{}; the GPU build comes with scripts/onnxruntime --gpu", error.message().trim()),
            })?,
            Device::Auto if cuda_folder(&self.library).is_some() => match self.session(options, Some(0)) {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(error = error.message(), "no CUDA device is usable: computing on the CPU");
                    self.session(options, None).map_err(graph)?
                }
            },
            Device::Auto | Device::Cpu => self.session(options, None).map_err(graph)?,
        };
        Ok(Box::new(OnnxBackend::new(session)?))
    }

    fn trim(&self) {
        // glibc keeps what a dropped session freed: MiniLM leaves 130 MB behind without this, and 31 MB with it.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        #[expect(unsafe_code, reason = "malloc_trim has no preconditions and may be called from any thread")]
        unsafe {
            libc::malloc_trim(0);
        }
        // The binary's own allocator keeps what ended threads had: loading 200 versions in turn left 12 MB behind.
        #[expect(unsafe_code, reason = "mi_collect has no preconditions and may be called from any thread")]
        unsafe {
            libmimalloc_sys::mi_collect(true);
        }
    }
}
