//! The border to the library that computes: a [`Loader`] opens a model, a [`Backend`] runs batches on it.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::agreement::Disagreement;
use crate::signature::Signature;
use crate::tensor::{Column, Tensor};

pub use crate::device::{Device, Precision};

/// How one session is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// The graph file.
    pub graph: PathBuf,
    /// Where it computes.
    pub device: Device,
    /// In which precision.
    pub precision: Precision,
    /// Threads of one run.
    pub threads: usize,
    /// The most bytes of the device's memory that the session takes for tensors; none: as many as it needs. CUDA only.
    pub memory_limit: Option<usize>,
}

impl SessionOptions {
    /// Whether its answers have to be compared with those of the CPU in fp32 before it serves.
    #[must_use]
    pub fn must_agree(&self) -> bool {
        self.device != Device::Cpu || self.precision != Precision::Fp32
    }
}

/// Why a model cannot be opened.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("{0}")]
    Files(String),
    /// The files cannot be had.
    #[error("download failed: {0}")]
    Download(String),
    /// The files are not those that the registry names.
    #[error("refused, its files are not what {tag} names: expected {expected}, got {got}", tag = crate::registry::DIGEST_TAG)]
    Digest {
        /// The digest in the registry.
        expected: String,
        /// The digest of the files.
        got: String,
    },
    /// The graph is broken, or uses what the runtime does not have.
    #[error("not a usable ONNX graph: {0}")]
    Graph(String),
    /// The graph is sound, but declares a type that perch does not serve.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The device was asked for and is not there.
    #[error("device {device}: {message}")]
    Device {
        /// The device asked for.
        device: Device,
        /// Why it cannot be used.
        message: String,
    },
    /// It loads, but the warm-up run fails.
    #[error("warm-up failed: {0}")]
    WarmUp(String),
    /// It runs, but does not answer what the CPU answers.
    #[error(transparent)]
    Disagrees(#[from] Disagreement),
}

/// Why a run gave no outputs.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RunError {
    /// The inputs do not fit the graph in a way that its signature does not show.
    #[error("{0}")]
    InvalidInput(String),
    /// The model failed.
    #[error("{0}")]
    Failed(String),
    /// It answered in a shape that it does not declare.
    #[error("{0}")]
    InvalidOutput(String),
    /// It was ended by its [`Terminator`].
    #[error("the run was terminated at its deadline")]
    Terminated,
}

/// Ends the run in progress from another thread.
pub trait Terminator: Send + Sync {
    /// Asks the run in progress to end. Later runs end at once, until [`Terminator::reset`].
    fn terminate(&self);
    /// Lets later runs go on.
    fn reset(&self);
}

/// One loaded copy of a model. It runs one batch at a time.
pub trait Backend: Send {
    /// What the graph declares.
    fn signature(&self) -> &Signature;
    /// The handle that ends a run.
    fn terminator(&self) -> Arc<dyn Terminator>;
    /// Runs one batch: `inputs` and the columns given are in the signature's order.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError>;
}

/// Opens models.
pub trait Loader: Send + Sync {
    /// What `wanted` comes to with this library on this machine: never [`Device::Auto`], and the same for as long as the
    /// process lives. The first time it may take seconds.
    ///
    /// # Errors
    /// When the device was asked for by name and cannot be used.
    fn resolve(&self, wanted: Device) -> Result<Device, LoadError> {
        Ok(if wanted == Device::Auto { Device::Cpu } else { wanted })
    }

    /// Opens one copy. It blocks for as long as that takes.
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError>;
    /// Gives memory that dropped copies left behind back to the system.
    fn trim(&self);
}
