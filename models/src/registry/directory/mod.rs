//! The local registry: a folder of models, each a folder of versions with an `aliases.json` beside them.

mod notes;

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use self::notes::{ALIASES, TAGS, read_aliases, read_tags};
use super::{BoxFuture, Change, DIGEST_TAG, Listing, ModelListing, Registry, RegistryError, VersionListing, Wanted};
use crate::artifact::{self, Artifact};
use crate::backend::LoadError;
use crate::digest::Known;

pub use notes::{set_alias, set_tag};

/// Files that are perch's or the user's own notes beside the versions.
const NOT_VERSIONS: [&str; 2] = [ALIASES, TAGS];
/// A folder whose newest file is older than this is not being written any more.
const STILL: Duration = Duration::from_secs(2);

/// Reads `MODELS/NAME/VERSION/…` on every listing.
#[derive(Clone)]
pub struct Directory(Arc<Scanner>);

/// What the folder holds.
enum Holds {
    /// Models.
    Models,
    /// The versions of one model, or one version by itself.
    Model(String),
}

struct Scanner {
    path: PathBuf,
    holds: Holds,
    /// Fingerprints of the last listing: a folder that did not change between two is still, however young.
    seen: Mutex<HashMap<PathBuf, u64>>,
    /// Entries that were already warned about.
    warned: Mutex<HashSet<PathBuf>>,
}

impl Directory {
    /// A registry over a folder of models.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::over(path.into(), Holds::Models)
    }

    /// A registry of the model `name` alone, whose versions are in `path`; or whose version 1 is `path`, when it holds
    /// a graph.
    #[must_use]
    pub fn of_model(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::over(path.into(), Holds::Model(name.into()))
    }

    fn over(path: PathBuf, holds: Holds) -> Self {
        Self(Arc::new(Scanner { path, holds, seen: Mutex::default(), warned: Mutex::default() }))
    }

    /// Lists all models. It blocks on the file system.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn read(&self) -> Result<Listing, RegistryError> {
        self.0.read()
    }

    /// Runs `work` where it may block: a mount that hangs must hold a thread, not the task that asks.
    #[expect(clippy::disallowed_methods, reason = "reading changes nothing, and writes are short and atomic")]
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Scanner) -> T + Send + 'static,
    ) -> Result<T, String> {
        let scanner = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&scanner)).await;
        done.map_err(|error| format!("reading the folder panicked: {error}"))
    }
}

impl Scanner {
    fn read(&self) -> Result<Listing, RegistryError> {
        let unreadable = |error: io::Error| RegistryError(format!("{}: {error}", self.path.display()));
        let mut listing = Listing::new();
        if let Holds::Model(name) = &self.holds {
            fs::read_dir(&self.path).map_err(unreadable)?;
            listing.insert(name.clone(), self.read_model(&self.path));
            return Ok(listing);
        }
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // is_dir() follows links: a folder of links is a folder.
            if !name.starts_with('.') && entry.path().is_dir() {
                listing.insert(name, self.read_model(&entry.path()));
            }
        }
        Ok(listing)
    }

    fn read_model(&self, dir: &Path) -> ModelListing {
        let mut model = ModelListing::default();
        if self.is_one_version(dir) {
            model.versions.insert(1, self.read_version(dir));
            return model;
        }
        match fs::read_dir(dir) {
            Ok(entries) => {
                for entry in entries.filter_map(Result::ok) {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    match parse_version(&name) {
                        Some(version) if entry.path().is_dir() => {
                            model.versions.insert(version, self.read_version(&entry.path()));
                        }
                        _ => self.warn_once(&entry.path(), &name),
                    }
                }
            }
            Err(error) => model.error = Some(format!("{}: {error}", dir.display())),
        }
        match read_aliases(dir) {
            Ok(aliases) => model.aliases = aliases,
            Err(message) => model.error = Some(message),
        }
        match read_tags(dir) {
            Ok(tags) => {
                for (version, tags) in tags {
                    if let Some(listed) = model.versions.get_mut(&version) {
                        listed.tags = tags;
                    }
                }
            }
            Err(message) => model.error = Some(message),
        }
        model
    }

    fn read_version(&self, dir: &Path) -> VersionListing {
        let mut hash = DefaultHasher::new();
        let mut newest = SystemTime::UNIX_EPOCH;
        walk(dir, 0, &mut |path, metadata| {
            path.hash(&mut hash);
            metadata.len().hash(&mut hash);
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            modified.hash(&mut hash);
            newest = newest.max(modified);
        });
        let fingerprint = hash.finish();
        let unchanged = self.seen.lock().insert(dir.to_owned(), fingerprint) == Some(fingerprint);
        // A time in the future is an odd clock, not a file being written.
        let old = SystemTime::now().duration_since(newest).is_ok_and(|age| age > STILL);
        VersionListing { fingerprint, settled: old || unchanged, ..VersionListing::default() }
    }

    fn warn_once(&self, path: &Path, name: &str) {
        let expected = NOT_VERSIONS.contains(&name) || name.starts_with('.');
        if !expected && self.warned.lock().insert(path.to_owned()) {
            tracing::warn!(path = %path.display(), "ignored: a version is a folder named by a positive integer");
        }
    }

    /// Whether `dir` is one version of the only model: a graph lies where versions would.
    fn is_one_version(&self, dir: &Path) -> bool {
        matches!(self.holds, Holds::Model(_)) && artifact::holds_graph(dir)
    }

    fn model(&self, model: &str) -> PathBuf {
        match &self.holds {
            Holds::Models => self.path.join(model),
            Holds::Model(_) => self.path.clone(),
        }
    }

    fn version(&self, model: &str, version: u64) -> PathBuf {
        let dir = self.model(model);
        if self.is_one_version(&dir) { dir } else { dir.join(version.to_string()) }
    }

    fn write(&self, model: &str, change: &Change) -> io::Result<()> {
        let dir = self.model(model);
        match change {
            _ if self.is_one_version(&dir) => {
                Err(io::Error::other(format!("{}: one version by itself has no aliases and no tags", dir.display())))
            }
            Change::SetAlias { alias, version } => set_alias(&dir, alias, Some(*version)),
            Change::DeleteAlias { alias } => set_alias(&dir, alias, None),
            Change::SetTag { version, key, value } => set_tag(&dir, *version, key, value),
            Change::SetStage { .. } => Err(io::Error::other("a folder of models has no stages, only aliases")),
        }
    }
}

impl Registry for Directory {
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>> {
        Box::pin(async { self.off_thread(Scanner::read).await.unwrap_or_else(|error| Err(RegistryError(error))) })
    }

    fn check_writable(&self) -> Result<(), RegistryError> {
        let scanner = &self.0;
        let refused = |error: io::Error| RegistryError(format!("{}: {error}", scanner.path.display()));
        if scanner.is_one_version(&scanner.path) {
            return Err(refused(io::Error::other("one version by itself has no tags")));
        }
        let probe = scanner.path.join(format!(".perch.{}", std::process::id()));
        fs::File::create(&probe).and_then(|_| fs::remove_file(probe)).map_err(refused)
    }

    /// Whoever works on a model copies a new one over it.
    fn versions_never_change(&self) -> bool {
        false
    }

    fn fetch<'f>(&'f self, wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>> {
        let (model, version) = (wanted.model.to_owned(), wanted.version);
        let expected = wanted.listed.tags.get(DIGEST_TAG).cloned();
        let open = move |scanner: &Scanner| {
            let artifact = Artifact::open(&scanner.version(&model, version), &Known::new())?;
            artifact.verify(expected.as_deref())?;
            Ok(artifact)
        };
        Box::pin(async { self.off_thread(open).await.unwrap_or_else(|error| Err(LoadError::Files(error))) })
    }

    fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>> {
        let (model, change) = (model.to_owned(), change.clone());
        let write = move |scanner: &Scanner| {
            let dir = scanner.model(&model);
            scanner.write(&model, &change).map_err(|error| RegistryError(format!("{}: {error}", dir.display())))
        };
        Box::pin(async { self.off_thread(write).await.unwrap_or_else(|error| Err(RegistryError(error))) })
    }
}

/// `007` and `0` are no versions: one number has one name.
fn parse_version(name: &str) -> Option<u64> {
    let version: u64 = name.parse().ok()?;
    (version > 0 && version.to_string() == name).then_some(version)
}

fn walk(dir: &Path, depth: usize, visit: &mut impl FnMut(&Path, &Metadata)) {
    // Deep enough for every layout, and an end to a link that leads to itself.
    const DEEPEST: usize = 4;
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth < DEEPEST => walk(&path, depth + 1, visit),
            Ok(metadata) => visit(&path, &metadata),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(files: &[(&str, &str)]) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, text).expect("written");
        }
        let registry = Directory::new(dir.path());
        (dir, registry)
    }

    #[test]
    fn versions_and_aliases_are_listed() {
        let (_dir, registry) = registry(&[
            ("m/1/model.onnx", "x"),
            ("m/2/model.onnx", "x"),
            ("m/02/model.onnx", "x"),
            ("m/latest/model.onnx", "x"),
            ("m/aliases.json", r#"{"stable": 1, "canary": 2}"#),
            ("n/1/model.onnx", "x"),
            (".git/1/model.onnx", "x"),
            ("README.md", "x"),
        ]);
        let listing = registry.read().expect("readable");
        assert_eq!(listing.keys().collect::<Vec<_>>(), ["m", "n"]);
        assert_eq!(listing["m"].versions.keys().collect::<Vec<_>>(), [&1, &2]);
        assert_eq!(listing["m"].aliases, Some([("canary".into(), 2), ("stable".into(), 1)].into()));
        assert_eq!(listing["n"].aliases, None);
    }

    #[test]
    fn a_young_folder_settles_when_it_stands_still() {
        let (dir, registry) = registry(&[("m/1/model.onnx", "x")]);
        let version = |registry: &Directory| registry.read().expect("readable")["m"].versions[&1].clone();
        let first = version(&registry);
        assert!(!first.settled, "just written");
        assert!(version(&registry).settled, "unchanged since");
        fs::write(dir.path().join("m/1/model.onnx"), "longer").expect("written");
        let changed = version(&registry);
        assert!(!changed.settled && changed.fingerprint != first.fingerprint);
    }

    #[test]
    fn broken_aliases_are_an_error_of_that_model() {
        let (_dir, registry) = registry(&[("m/1/model.onnx", "x"), ("m/aliases.json", r#"{"stable": "one"}"#)]);
        let error = registry.read().expect("readable")["m"].error.clone().expect("broken");
        assert!(error.contains("aliases.json: expected {\"alias\": version}: invalid type: string"), "{error}");
    }

    #[test]
    fn an_alias_is_set_and_deleted() {
        let (dir, registry) = registry(&[("m/1/model.onnx", "x")]);
        let model = dir.path().join("m");
        set_alias(&model, "stable", Some(1)).expect("written");
        set_alias(&model, "canary", Some(2)).expect("written");
        set_alias(&model, "stable", None).expect("written");
        assert_eq!(registry.read().expect("readable")["m"].aliases, Some([("canary".into(), 2)].into()));
        assert_eq!(fs::read_dir(model).expect("readable").count(), 2, "no file is left behind");
    }
}
