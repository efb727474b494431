//! A version's folder: the graph, the files it loads, and the digest of them all.

use std::path::{Path, PathBuf};

use crate::artifacts::cache::Lease;
use crate::backend::LoadError;
use crate::declared::Declared;
use crate::digest::{self, Known};
use crate::layout::{self, GRAPH, Layout};
use crate::onnx_file;

/// The files of one version.
#[derive(Debug)]
pub struct Artifact {
    /// Its folder.
    pub dir: PathBuf,
    /// The graph.
    pub graph: PathBuf,
    /// Where an input example may be, the better one first.
    pub examples: Vec<PathBuf>,
    /// The inputs that its description declares.
    pub declared: Vec<Declared>,
    /// The digest of what is loaded (graph, external weights, tokenizer and pooling files), `sha256:<hex>`.
    pub digest: String,
    /// Bytes of what is loaded.
    pub bytes: u64,
    /// Keeps the folder in the cache for as long as the version is loaded.
    pub lease: Option<Lease>,
}

impl Artifact {
    /// Finds and hashes what is to be loaded from `dir`. Files in `known` are not hashed again.
    ///
    /// # Errors
    /// When there is no graph, a file of external weights is missing, or one cannot be read.
    pub fn open(dir: &Path, known: &Known) -> Result<Self, LoadError> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| LoadError::Files(format!("{path}: {error}"))
        };
        let layout = Layout::of(dir)?;
        let graph = match layout.graph {
            Some(graph) => dir.join(graph),
            None => find_graph(dir)?,
        };
        let external = {
            let bytes = std::fs::read(&graph).map_err(unreadable(&graph))?;
            onnx_file::external_files(&bytes)
                .map_err(|message| LoadError::Graph(format!("{}: {message}", graph.display())))?
        };
        let beside_graph = graph.parent().unwrap_or(dir);
        let weights: Vec<PathBuf> = external.into_iter().map(|name| beside_graph.join(name)).collect();
        if let Some(missing) = weights.iter().find(|path| !path.is_file()) {
            let message = format!("{} names external weights in {}: no such file", graph.display(), missing.display());
            return Err(LoadError::Files(message));
        }
        let text = layout::text_files(dir)?.into_iter().map(|name| dir.join(name));
        let (mut bytes, mut files) = (0, Vec::new());
        for path in [graph.clone()].into_iter().chain(weights).chain(text) {
            let name = relative(dir, &path);
            bytes += path.metadata().map_err(unreadable(&path))?.len();
            let sha = match known.get(&name) {
                Some(sha) => sha.clone(),
                None => digest::of_file(&path).map_err(unreadable(&path))?,
            };
            files.push((name, sha));
        }
        let examples = layout.examples.iter().map(|name| dir.join(name)).collect();
        let digest = digest::of_version(&files);
        Ok(Self { dir: dir.to_owned(), graph, examples, declared: layout.declared, digest, bytes, lease: None })
    }

    /// Compares with the digest that the registry names, if it names one.
    ///
    /// # Errors
    /// When they differ, or what is named is no digest.
    pub fn verify(&self, expected: Option<&str>) -> Result<(), LoadError> {
        let Some(expected) = expected.map(str::trim).filter(|expected| !expected.is_empty()) else { return Ok(()) };
        // Without the prefix it is what sha256 tools print.
        let hex = expected.strip_prefix("sha256:").unwrap_or(expected);
        if self.digest.strip_prefix("sha256:").is_some_and(|own| own.eq_ignore_ascii_case(hex)) {
            Ok(())
        } else {
            Err(LoadError::Digest { expected: expected.to_owned(), got: self.digest.clone() })
        }
    }
}

/// Whether `dir` looks like one version.
pub(crate) fn holds_graph(dir: &Path) -> bool {
    dir.join(GRAPH).is_file() || dir.join(layout::MLMODEL).is_file()
}

/// `model.onnx`, or the only `.onnx` file of the folder.
fn find_graph(dir: &Path) -> Result<PathBuf, LoadError> {
    let expected = dir.join(GRAPH);
    if expected.is_file() {
        return Ok(expected);
    }
    let entries = std::fs::read_dir(dir).map_err(|error| LoadError::Files(format!("{}: {error}", dir.display())))?;
    let mut graphs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx") && path.is_file())
        .collect();
    match (graphs.pop(), graphs.pop()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(LoadError::Files(format!("{} holds no {GRAPH}", dir.display()))),
        _ => Err(LoadError::Files(format!("{} holds several .onnx files and none is called {GRAPH}", dir.display()))),
    }
}

/// The path inside the folder, with `/` on every system.
fn relative(dir: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(dir).unwrap_or(path);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<Artifact, LoadError> {
        Artifact::open(dir, &Known::new())
    }

    #[test]
    fn a_folder_without_a_graph_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = open(dir.path()).expect_err("empty");
        assert_eq!(error.to_string(), format!("{} holds no model.onnx", dir.path().display()));
        std::fs::write(dir.path().join("a.onnx"), "x").expect("written");
        assert!(matches!(open(dir.path()), Err(LoadError::Graph(_))), "found, but no graph");
        std::fs::write(dir.path().join("b.onnx"), "x").expect("written");
        assert!(open(dir.path()).expect_err("two").to_string().contains("several .onnx files"));
    }

    #[test]
    fn the_digest_is_of_what_is_loaded_and_compared_in_either_form() {
        let dir = tempfile::tempdir().expect("a folder");
        // A ModelProto whose field 7, the graph, is there and empty.
        std::fs::write(dir.path().join(GRAPH), [0x3a, 0]).expect("written");
        let artifact = open(dir.path()).expect("a graph");
        std::fs::write(dir.path().join("notes.txt"), "x").expect("written");
        assert_eq!(open(dir.path()).expect("a graph").digest, artifact.digest, "notes are not loaded");
        let hex = artifact.digest.strip_prefix("sha256:").expect("prefixed").to_owned();
        for expected in [None, Some(""), Some(artifact.digest.as_str()), Some(&hex), Some(&hex.to_uppercase())] {
            assert_eq!(artifact.verify(expected), Ok(()), "{expected:?}");
        }
        let error = artifact.verify(Some("sha256:00")).expect_err("another").to_string();
        assert!(error.contains("expected sha256:00, got sha256:"), "{error}");
        std::fs::write(dir.path().join("tokenizer.json"), "{}").expect("written");
        assert_ne!(open(dir.path()).expect("a graph").digest, artifact.digest, "a tokenizer is loaded");
    }
}
