//! The local registry: a folder of models, each a folder of versions with an `aliases.json` beside them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{BoxFuture, Listing, ModelListing, Registry, RegistryError, VersionListing};

const ALIASES: &str = "aliases.json";
/// Files that are perch's or the user's own notes beside the versions.
const NOT_VERSIONS: [&str; 2] = [ALIASES, "tags.json"];
/// A folder whose newest file is older than this is not being written any more.
const STILL: Duration = Duration::from_secs(2);

/// Reads `MODELS/NAME/VERSION/…` on every listing.
#[derive(Clone)]
pub struct Directory(Arc<Scanner>);

struct Scanner {
    path: PathBuf,
    /// Fingerprints of the last listing: a folder that did not change between two is still, however young.
    seen: Mutex<HashMap<PathBuf, u64>>,
    /// Entries that were already warned about.
    warned: Mutex<std::collections::HashSet<PathBuf>>,
}

impl Directory {
    /// A registry over the folder `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Scanner { path: path.into(), seen: Mutex::default(), warned: Mutex::default() }))
    }

    /// Lists all models. It blocks on the file system.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn read(&self) -> Result<Listing, RegistryError> {
        self.0.read()
    }
}

impl Scanner {
    fn read(&self) -> Result<Listing, RegistryError> {
        let unreadable = |error: io::Error| RegistryError(format!("{}: {error}", self.path.display()));
        let mut listing = Listing::new();
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
        match fs::read_dir(dir) {
            Ok(entries) => {
                for entry in entries.filter_map(Result::ok) {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    match parse_version(&name) {
                        Some(version) if entry.path().is_dir() => {
                            model.versions.insert(version, self.read_version(entry.path()));
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
        model
    }

    fn read_version(&self, dir: PathBuf) -> VersionListing {
        let mut hash = DefaultHasher::new();
        let mut newest = SystemTime::UNIX_EPOCH;
        walk(&dir, 0, &mut |path, metadata| {
            path.hash(&mut hash);
            metadata.len().hash(&mut hash);
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            modified.hash(&mut hash);
            newest = newest.max(modified);
        });
        let fingerprint = hash.finish();
        let unchanged = self.seen.lock().insert(dir.clone(), fingerprint) == Some(fingerprint);
        // A time in the future is an odd clock, not a file being written.
        let old = SystemTime::now().duration_since(newest).is_ok_and(|age| age > STILL);
        VersionListing { dir, fingerprint, settled: old || unchanged }
    }

    fn warn_once(&self, path: &Path, name: &str) {
        let expected = NOT_VERSIONS.contains(&name) || name.starts_with('.');
        if !expected && self.warned.lock().insert(path.to_owned()) {
            tracing::warn!(path = %path.display(), "ignored: a version is a folder named by a positive integer");
        }
    }
}

impl Registry for Directory {
    #[expect(clippy::disallowed_methods, reason = "a scan changes nothing: shutdown need not wait for it")]
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>> {
        let scanner = self.0.clone();
        // A mount that hangs must hold a thread, not the task that accepts connections.
        let scan = tokio::task::spawn_blocking(move || scanner.read());
        Box::pin(async { scan.await.unwrap_or_else(|error| Err(RegistryError(format!("the scan panicked: {error}")))) })
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

fn read_aliases(model: &Path) -> Result<Option<BTreeMap<String, u64>>, String> {
    let path = model.join(ALIASES);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let aliases: BTreeMap<String, u64> = serde_json::from_slice(&text)
        .map_err(|error| format!("{}: expected {{\"alias\": version}}: {error}", path.display()))?;
    match aliases.iter().find(|(_, version)| **version == 0) {
        Some((alias, _)) => Err(format!("{}: alias {alias}: versions are positive integers, got 0", path.display())),
        None => Ok(Some(aliases)),
    }
}

/// Points `alias` of the model folder `model` to `version`, or deletes it; the file is replaced atomically.
///
/// # Errors
/// When the present file is broken, or the folder cannot be written.
pub fn set_alias(model: &Path, alias: &str, version: Option<u64>) -> io::Result<()> {
    let mut aliases = read_aliases(model).map_err(io::Error::other)?.unwrap_or_default();
    match version {
        Some(version) => drop(aliases.insert(alias.to_owned(), version)),
        None => drop(aliases.remove(alias)),
    }
    let text = serde_json::to_vec_pretty(&aliases).map_err(io::Error::other)?;
    let fresh = model.join(format!(".{ALIASES}.{}", std::process::id()));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(fresh, model.join(ALIASES))
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
