//! The border to the library that computes: a [`Loader`] opens a model, a [`Backend`] runs batches on it.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::signature::Signature;
use crate::tensor::{Column, Tensor};

/// Where a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// A CUDA device where the runtime library has that provider and finds one, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device; a model that cannot use it fails to load.
    Cuda(u32),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(id) => write!(f, "cuda:{id}"),
        }
    }
}

/// How one session is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// The graph file.
    pub graph: PathBuf,
    /// Where it computes.
    pub device: Device,
    /// Threads of one run.
    pub threads: usize,
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
    /// Opens one copy. It blocks for as long as that takes.
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError>;
    /// Gives memory that dropped copies left behind back to the system.
    fn trim(&self);
}
