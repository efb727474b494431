//! Folders of models: copies of the fixtures in a place of their own, which a test may change as it likes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use perch_models::registry::directory::set_alias;
use tempfile::TempDir;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The folder of the fixture or example `name`, which has one folder a version.
pub fn source(name: &str) -> PathBuf {
    let places = [root().join("tests/fixtures/models"), root().join("examples/models")];
    let mut places = places.iter().map(|place| place.join(name));
    places.find(|place| place.is_dir()).expect("a fixture or an example of this name")
}

/// A `ModelProto` whose field 7, the graph, is there and empty.
const EMPTY_GRAPH: [u8; 2] = [0x3a, 0];

/// A folder of models, deleted when dropped.
pub struct Models {
    dir: TempDir,
}

impl Models {
    /// A folder with copies of these fixtures and examples, all versions of each.
    pub fn with(names: &[&str]) -> Self {
        let models = Self { dir: tempfile::tempdir().expect("a folder") };
        for name in names {
            models.copy(name);
        }
        models
    }

    /// A folder of models for the scripted backend, each with one version: an ONNX file with an empty graph.
    pub fn scripted(names: &[&str]) -> Self {
        let models = Self::with(&[]);
        for name in names {
            models.write(&format!("{name}/1/model.onnx"), &EMPTY_GRAPH);
        }
        models
    }

    /// Adds a version of a model for the scripted backend: unlike its others, by its number only.
    pub fn scripted_version(&self, name: &str, version: u64) {
        // A `ModelProto` whose field 5, the model's version, is this one.
        let number = u8::try_from(version).ok().filter(u8::is_ascii).expect("a small number");
        self.write(&format!("{name}/{version}/model.onnx"), &[&[0x28, number], EMPTY_GRAPH.as_slice()].concat());
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a copy of the fixture or example `name`, aliases included.
    pub fn copy(&self, name: &str) {
        self.rename_in(&source(name), &self.path().join(name));
    }

    /// Adds a copy of any model's folder as `name`, aliases included.
    pub fn add(&self, from: &Path, name: &str) {
        self.rename_in(from, &self.path().join(name));
    }

    /// Adds a copy of version `from` of the fixture or example `source_name` as `name/version`.
    pub fn copy_version(&self, source_name: &str, from: u64, name: &str, version: u64) {
        fs::create_dir_all(self.path().join(name)).expect("made");
        let target = self.path().join(name).join(version.to_string());
        self.rename_in(&source(source_name).join(from.to_string()), &target);
    }

    /// Copies next to the models, where nobody looks, and renames: as users are told to.
    fn rename_in(&self, from: &Path, to: &Path) {
        let staging = tempfile::tempdir_in(self.path()).expect("a folder");
        let copy = staging.path().join("copy");
        copy_tree(from, &copy);
        fs::rename(copy, to).expect("renamed in");
    }

    /// Writes a file, as old as the others, by renaming it in.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let target = self.path().join(path);
        fs::create_dir_all(target.parent().expect("inside of the folder")).expect("made");
        let fresh = tempfile::NamedTempFile::new_in(self.path()).expect("a file");
        fs::write(fresh.path(), bytes).expect("written");
        age(fresh.path());
        fresh.persist(target).expect("renamed in");
    }

    /// Removes a file or a folder.
    pub fn remove(&self, path: &str) {
        let path = self.path().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }

    /// Points an alias, as `perch models alias` does.
    pub fn set_alias(&self, name: &str, alias: &str, version: u64) {
        set_alias(&self.path().join(name), alias, Some(version)).expect("written");
    }

    /// Removes an alias.
    pub fn delete_alias(&self, name: &str, alias: &str) {
        set_alias(&self.path().join(name), alias, None).expect("written");
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
            age(&target);
        }
    }
}

/// Perch waits for young files to stand still; these have stood for long.
fn age(path: &Path) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("an old file");
}
