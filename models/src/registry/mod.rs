//! Where versions come from: what a registry lists, how a version's files get here, and what is written back.

mod aliases;
pub mod directory;
pub mod mlflow;
mod select;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::artifact::Artifact;
use crate::backend::LoadError;

pub use aliases::{Move, PREVIOUS, move_alias};
pub use directory::Directory;
pub use select::{Selector, candidates};

/// The tag that names the digest which a version's files must have.
pub const DIGEST_TAG: &str = "perch.sha256";
/// The tag that says how the last load of a version ended: `ready` or `failed`.
pub const STATE_TAG: &str = "perch.state";
/// The tag that says why the last load of a version failed; empty when it did not.
pub const ERROR_TAG: &str = "perch.error";

/// The registry cannot be read or written; what is loaded goes on serving.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct RegistryError(pub String);

/// A boxed future, for a trait that is used as an object.
pub type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// A place where versions of models are registered.
pub trait Registry: Send + Sync {
    /// Lists the models that it follows as they are now.
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>>;

    /// What an earlier process listed last, for a start while the registry is away. None where there is nothing to
    /// fall back to.
    fn recall(&self) -> BoxFuture<'_, Option<Recalled>> {
        Box::pin(std::future::ready(None))
    }

    /// Tells whether nothing can ever be written, as far as that is known without asking a server. It may block on the
    /// file system for a moment.
    fn check_writable(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Whether a version's files are for ever what they were when it was registered.
    fn versions_never_change(&self) -> bool;

    /// Forgets what it knows of entries that seemed not to change: the next listing asks for everything.
    fn forget(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Where the files of a version are before a fetch: a look at the disk at most.
    fn whereabouts(&self, _model: &str, _version: u64, _listed: &VersionListing) -> Whereabouts {
        Whereabouts::InPlace
    }

    /// Brings the files of a version here, and finds in them what is to be loaded. The files are what the registry
    /// says they are: a digest that it names has been compared.
    fn fetch<'f>(&'f self, wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>>;

    /// Changes the registry's entry of `model`.
    fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>>;
}

/// All models of a registry by name.
pub type Listing = BTreeMap<String, ModelListing>;

/// A listing from an earlier process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// What was listed.
    pub listing: Listing,
    /// When it was last known to be so.
    pub as_of: SystemTime,
}

/// One model in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelListing {
    /// Its versions.
    pub versions: BTreeMap<u64, VersionListing>,
    /// Its aliases; `None` where the registry has no word on them, and then the highest version that loads is served.
    pub aliases: Option<BTreeMap<String, u64>>,
    /// What is wrong with the model's entry, if anything; the last good aliases should stay in force.
    pub error: Option<String>,
}

/// One version in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionListing {
    /// Changes whenever its files do.
    pub fingerprint: u64,
    /// False while its files are still being written.
    pub settled: bool,
    /// Its stage, where the registry has those.
    pub stage: Option<String>,
    /// Its tags, as far as the listing has them.
    pub tags: BTreeMap<String, String>,
}

/// Where the files of a version are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the registry's own folder on this machine: a fetch copies nothing.
    InPlace,
    /// In the cache on this machine.
    Cached,
    /// Elsewhere: a fetch downloads them.
    Away,
}

/// A version that is to be fetched.
#[derive(Clone)]
pub struct Wanted<'w> {
    /// The model's name in the registry.
    pub model: &'w str,
    /// The version.
    pub version: u64,
    /// What the registry listed.
    pub listed: &'w VersionListing,
    /// Whether it was fetched before and could not be loaded: then the files may have been mended meanwhile.
    pub again: bool,
    /// Is told of what is downloaded.
    pub progress: Arc<dyn Progress>,
}

/// Is told of a download.
pub trait Progress: Send + Sync {
    /// A download of `total` bytes begins, of which `present` are here from an earlier attempt.
    fn begin(&self, total: u64, present: u64);
    /// So many more bytes are here.
    fn advance(&self, bytes: u64);
    /// So many bytes of what was here are of no use, and come again.
    fn discard(&self, bytes: u64);
    /// All is here, and as it should be.
    fn end(&self);
}

/// Progress that nobody looks at.
pub struct Unseen;

impl Progress for Unseen {
    fn begin(&self, _total: u64, _present: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn discard(&self, _bytes: u64) {}
    fn end(&self) {}
}

/// A change of a model's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Points an alias to a version.
    SetAlias {
        /// The alias.
        alias: String,
        /// The version.
        version: u64,
    },
    /// Removes an alias.
    DeleteAlias {
        /// The alias.
        alias: String,
    },
    /// Sets a tag of a version.
    SetTag {
        /// The version.
        version: u64,
        /// The tag's name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Moves a version to a stage, and archives those that were there.
    SetStage {
        /// The version.
        version: u64,
        /// The stage.
        stage: String,
    },
}

/// A path inside of a folder, which does not lead out of it.
///
/// # Errors
/// Says so when it does.
pub(crate) fn inside(name: &str) -> Result<PathBuf, String> {
    use std::path::{Component, Path};
    let path = Path::new(name);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().all(plain) && path.file_name().is_some() && !name.contains('\0') {
        Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
    } else {
        Err(format!("it leads out of its folder: \"{name}\""))
    }
}
