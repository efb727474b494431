//! A version's folder: the graph, the files it loads, and the digest of them all.

use std::path::{Path, PathBuf};

use crate::backend::LoadError;
use crate::digest;
use crate::onnx_file;

const GRAPH: &str = "model.onnx";

/// The files of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its folder.
    pub dir: PathBuf,
    /// The graph.
    pub graph: PathBuf,
    /// The digest of what is loaded (graph and external weights), `sha256:<hex>`.
    pub digest: String,
    /// Bytes of what is loaded.
    pub bytes: u64,
}

impl Artifact {
    /// Finds and hashes what is to be loaded from `dir`.
    ///
    /// # Errors
    /// When there is no graph, a file of external weights is missing, or one cannot be read.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| LoadError::Files(format!("{path}: {error}"))
        };
        let graph = find_graph(dir)?;
        let bytes = std::fs::read(&graph).map_err(unreadable(&graph))?;
        let external = onnx_file::external_files(&bytes)
            .map_err(|message| LoadError::Graph(format!("{}: {message}", graph.display())))?;
        let mut total = bytes.len() as u64;
        drop(bytes);
        let mut files = vec![(relative(dir, &graph), digest::of_file(&graph).map_err(unreadable(&graph))?)];
        for name in external {
            let path = dir.join(&name);
            let sha = digest::of_file(&path).map_err(|error| {
                LoadError::Files(format!("{} names external weights in {}: {error}", graph.display(), path.display()))
            })?;
            total += path.metadata().map_err(unreadable(&path))?.len();
            files.push((relative(dir, &path), sha));
        }
        Ok(Self { dir: dir.to_owned(), graph, digest: digest::of_version(&files), bytes: total })
    }
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

    #[test]
    fn a_folder_without_a_graph_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = Artifact::open(dir.path()).expect_err("empty");
        assert_eq!(error.to_string(), format!("{} holds no model.onnx", dir.path().display()));
        std::fs::write(dir.path().join("a.onnx"), "x").expect("written");
        assert!(matches!(Artifact::open(dir.path()), Err(LoadError::Graph(_))), "found, but no graph");
        std::fs::write(dir.path().join("b.onnx"), "x").expect("written");
        assert!(Artifact::open(dir.path()).expect_err("two").to_string().contains("several .onnx files"));
    }
}
