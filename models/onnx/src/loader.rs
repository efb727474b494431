//! Opens sessions: the library once a process, a session a copy of a model.

use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use ort::ep;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use perch_models::backend::{Backend, Device, LoadError, Loader, Precision, SessionOptions};
use thiserror::Error;

use crate::backend::OnnxBackend;
use crate::library::{self, LibraryError};
use crate::memory;
use crate::probe::Known;
use crate::processor;
use crate::provider::{Wish, folder_with};

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
    known: Known,
    /// What `auto` comes to, once that is known.
    auto: OnceLock<Device>,
    told: Once,
}

impl OnnxLoader {
    /// Loads the library that `configured`, the executable's place or the current folder lead to (see
    /// [`find`](crate::find)), for models that compute on `devices`. Once a process: ONNX Runtime has one environment.
    ///
    /// # Errors
    /// One message that says what to run.
    pub fn start(configured: Option<&Path>, devices: &[Device]) -> Result<Self, OpenError> {
        let executable = std::env::current_exe().ok();
        let here = std::env::current_dir().unwrap_or_default();
        let path = library::find(configured, executable.as_deref(), &here, devices)?;
        let unfit = |message: String| LibraryError::Unfit { path: path.clone(), message };
        let environment = ort::init_from(&path)
            .map_err(|error| unfit(error.to_string()))?
            .with_name("perch")
            .with_telemetry(false)
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        if let Some(folder) = folder_with(&path, Device::Cuda(0)) {
            // The provider does not look beside itself for the CUDA and cuDNN libraries that came with it.
            if let Err(error) = ep::cuda::preload_dylibs(Some(&folder), Some(&folder)) {
                tracing::debug!(%error, "CUDA libraries beside the runtime could not be loaded");
            }
        }
        // Below this the library would print every message only for us to drop it, also while it runs models.
        environment.set_log_level(LogLevel::Warning);
        memory::register(&environment).map_err(|error| unfit(error.to_string()))?;
        Ok(Self { environment, library: path, known: Known::default(), auto: OnceLock::new(), told: Once::new() })
    }

    /// The library in use.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    fn builder(&self, wish: Wish) -> Result<SessionBuilder, ort::Error> {
        let builder = Session::builder(&self.environment)?
            .with_intra_threads(wish.threads)?
            .with_inter_threads(1)?
            .with_env_allocators()?
            .with_log_level(LogLevel::Warning)?
            // Threads that spin between runs would take the cores that read requests.
            .with_intra_op_spinning(false)?;
        match wish.provider() {
            Some(provider) => Ok(builder.with_execution_providers([provider])?),
            None => Ok(builder),
        }
    }

    fn check(&self, device: Device) -> Result<(), LoadError> {
        self.known.check(device, &self.library, |graph| self.builder(Wish::of(device))?.commit_from_memory(graph))
    }

    /// Decided once for all models: were it decided for each load, a canary on the CPU might be compared with a stable
    /// version on a GPU, and one warning would become many.
    fn auto(&self) -> Device {
        let cuda = Device::Cuda(0);
        *self.auto.get_or_init(|| match self.check(cuda) {
            Ok(()) => {
                tracing::info!(device = %cuda, "models compute on the GPU");
                cuda
            }
            // Whoever fetched the library for CPUs, and has no GPU, has nothing to be warned of.
            Err(_) if folder_with(&self.library, cuda).is_none() && !processor::has_nvidia_driver() => Device::Cpu,
            Err(error) => {
                tracing::warn!(%error, "no CUDA device is usable: device auto computes on the CPU");
                Device::Cpu
            }
        })
    }

    fn warn_of_precision(&self, precision: Precision) {
        if let Some(message) = processor::lacks(precision) {
            self.told.call_once(|| tracing::warn!("{message}"));
        }
    }
}

impl Loader for OnnxLoader {
    fn resolve(&self, wanted: Device) -> Result<Device, LoadError> {
        match wanted {
            Device::Auto => Ok(self.auto()),
            Device::Cpu => Ok(Device::Cpu),
            device => self.check(device).map(|()| device),
        }
    }

    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        let device = self.resolve(options.device)?;
        let SessionOptions { precision, threads, memory_limit, .. } = *options;
        if !device.offers(precision) {
            let offered: Vec<String> = device.precisions().iter().map(ToString::to_string).collect();
            let message = format!("has no precision {precision}, only {}", offered.join(", "));
            return Err(LoadError::Device { device, message });
        }
        if device == Device::OpenVino {
            self.warn_of_precision(precision);
        }
        let wish = Wish { device, precision, threads, memory_limit };
        let session = self.builder(wish).and_then(|mut builder| builder.commit_from_file(&options.graph));
        memory::trim_malloc();
        let session = session.map_err(|error| {
            let message = error.message().trim();
            if device == Device::Cpu {
                return LoadError::Graph(message.to_owned());
            }
            // Devices do not take every graph, and what they say of it is long.
            let message = format!("cannot open the graph, which device cpu may: {message}");
            LoadError::Device { device, message }
        })?;
        Ok(Box::new(OnnxBackend::new(session)?))
    }

    fn trim(&self) {
        memory::trim();
    }
}
