//! One loaded version of a model: `load` makes it, `submit` runs requests on it.

mod load;
mod submit;
#[cfg(test)]
mod tests;

pub use load::MAX_PADDED;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::agreement::Limits;
use crate::artifacts::cache::Lease;
use crate::backend::{Device, Loader, Precision};
use crate::cost::CostCurve;
use crate::run::lane::{Lane, Shared};
use crate::run::{Observer, Turns};
use crate::signature::Signature;
use crate::text::TextModel;
use crate::warmup::Profile;
use crate::watchdog::Watchdog;

/// How a version is loaded and run.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it computes.
    pub device: Device,
    /// In which precision. Anywhere but on the CPU in fp32 it has to agree with that before it serves.
    pub precision: Precision,
    /// How near it has to be.
    pub agreement: Limits,
    /// The most bytes of the device's memory for each session's tensors.
    pub memory_limit: Option<usize>,
    /// Lengths that rows of text are padded to, ascending; empty where any length will do.
    pub buckets: Vec<usize>,
    /// Threads of one run in worker mode.
    pub threads: usize,
    /// Sessions in worker mode, each with a thread of its own.
    pub instances: usize,
    /// The largest batch to compose, in rows.
    pub max_rows: usize,
    /// Work that may wait in worker mode.
    pub max_queue: Duration,
    /// How long a request may wait for company while a worker is free.
    pub max_delay: Duration,
    /// Time for opening and warming up.
    pub load_timeout: Duration,
}

impl Default for Settings {
    /// One session on the CPU, as small as can be.
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::default(),
            agreement: Limits::default(),
            memory_limit: None,
            buckets: Vec::new(),
            threads: 1,
            instances: 1,
            max_rows: 64,
            max_queue: Duration::from_secs(2),
            max_delay: Duration::ZERO,
            load_timeout: Duration::from_secs(60),
        }
    }
}

/// What loading needs from its surroundings.
pub struct Context<'c> {
    /// Opens sessions.
    pub loader: &'c dyn Loader,
    /// Ends runs.
    pub watchdog: &'c Watchdog,
    /// Is told of every execution.
    pub observer: Arc<dyn Observer>,
    /// The turns of the reactors, on each of which an inline model has a session.
    pub turns: Turns,
    /// Waits at shutdown for answers that are on their way.
    pub tasks: TaskTracker,
}

/// How a version is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On the reactors.
    Inline,
    /// On threads of its own.
    Worker,
}

/// A loaded version, warm and ready to run. Dropping it ends its threads.
pub struct ModelVersion {
    signature: Arc<Signature>,
    device: Device,
    digest: String,
    identity: String,
    dir: PathBuf,
    profile: Profile,
    /// What lies between texts and the graph, where it takes any.
    text: Option<Arc<TextModel>>,
    lanes: Box<[Arc<Lane>]>,
    shared: Arc<Shared>,
    sessions: usize,
    /// Sessions may read their weights from the files for as long as they live.
    _lease: Option<Lease>,
}

impl ModelVersion {
    /// What the graph declares.
    #[must_use]
    pub const fn signature(&self) -> &Arc<Signature> {
        &self.signature
    }

    /// What lies between texts and the graph; none of a model that takes tensors alone.
    #[must_use]
    pub const fn text(&self) -> Option<&Arc<TextModel>> {
        self.text.as_ref()
    }

    /// Where it computes: never [`Device::Auto`].
    #[must_use]
    pub const fn device(&self) -> Device {
        self.device
    }

    /// The digest of its files.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What its answers depend on beside their inputs: the digest of its files and, anywhere but on the CPU in fp32, where
    /// and how exactly it computes.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The folder of its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it is run at present.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.shared.inline.load(Ordering::Acquire) && !self.lanes.is_empty() { Mode::Inline } else { Mode::Worker }
    }

    /// Copies of the model in memory.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.sessions
    }

    /// Measured costs.
    #[must_use]
    pub const fn cost(&self) -> &CostCurve {
        &self.profile.cost
    }

    /// Requests waiting for a worker.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.shared.pool.depth()
    }
}

impl Drop for ModelVersion {
    fn drop(&mut self) {
        self.shared.pool.close();
    }
}
