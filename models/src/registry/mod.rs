//! Where versions come from: what a registry lists, and which of it is to be served.

mod directory;
mod select;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use thiserror::Error;

pub use directory::{Directory, set_alias};
pub use select::{Selector, candidates};

/// The registry cannot be read at all; what is loaded goes on serving.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct RegistryError(pub String);

/// A boxed future, for a trait that is used as an object.
pub type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// A place where versions of models are registered.
pub trait Registry: Send + Sync {
    /// Lists all models as they are now.
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>>;
}

/// All models of a registry by name.
pub type Listing = BTreeMap<String, ModelListing>;

/// One model in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelListing {
    /// Its versions.
    pub versions: BTreeMap<u64, VersionListing>,
    /// Its aliases; `None` where the registry has no word on them, and then the highest version that loads is served.
    pub aliases: Option<BTreeMap<String, u64>>,
    /// What is wrong with the model's entry, if anything; the last good aliases should stay in force.
    pub error: Option<String>,
}

/// One version in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionListing {
    /// Where its files are.
    pub dir: PathBuf,
    /// Changes whenever its files do.
    pub fingerprint: u64,
    /// False while its files are still being written.
    pub settled: bool,
}
