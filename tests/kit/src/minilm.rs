//! all-MiniLM-L6-v2, by `scripts/minilm`, and what it has to answer.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::models::root;
use crate::{Models, scripts};

/// The model's name in its registry.
pub const NAME: &str = "minilm";

/// A folder with a copy of the model: version 1 is fp32 and stable, version 2 int8.
pub fn models() -> Models {
    let models = Models::with(&[]);
    models.add(&scripts::minilm().join(NAME), NAME);
    models
}

/// The same without version 2.
pub fn models_fp32() -> Models {
    let models = models();
    models.remove(&format!("{NAME}/2"));
    models
}

/// The fp32 version as stable, and as canary, version 3, a copy of it that breaks on the word `happy`: it answers NaN for
/// such a text, or the whole run fails. `fault` is `nan` or `fails`.
pub fn models_broken(fault: &str) -> Models {
    /// Of the word, in the model's vocabulary.
    const HAPPY: &str = "3407";
    let models = models_fp32();
    let version = scripts::minilm().join(NAME).join("1");
    let dir = tempfile::tempdir().expect("a folder");
    let mut python = Command::new(scripts::onnx());
    python.arg(root().join("tests/fixtures/text_faults.py")).arg(version.join("model.onnx"));
    let made = python.arg(dir.path().join("model.onnx")).args([HAPPY, fault]).env("PYTHONDONTWRITEBYTECODE", "1");
    assert!(made.status().expect("started").success(), "text_faults.py says why");
    models.add(&version, &format!("{NAME}/3"));
    models.write(&format!("{NAME}/3/model.onnx"), &fs::read(dir.path().join("model.onnx")).expect("made"));
    models.set_alias(NAME, "canary", 3);
    models
}

/// Texts of many kinds and lengths, and their embeddings from a computation in float64.
#[derive(Debug)]
pub struct Reference {
    /// The texts; those that are longer than the model takes are cut.
    pub texts: Vec<String>,
    /// Their embeddings, of length 1.
    pub embeddings: Vec<Vec<f64>>,
}

impl Reference {
    /// What `scripts/minilm` has computed.
    pub fn get() -> &'static Self {
        static READ: OnceLock<Reference> = OnceLock::new();
        READ.get_or_init(Self::read)
    }

    /// Where it lies.
    pub fn path() -> std::path::PathBuf {
        scripts::minilm().join("minilm.reference.json")
    }

    fn read() -> Self {
        let file: Value = serde_json::from_slice(&fs::read(Self::path()).expect("a file")).expect("JSON");
        let list = |key: &str| file[key].as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let vector = |value: &Value| serde_json::from_value(value.clone()).expect("numbers");
        let read = Self {
            texts: list("texts").iter().map(text).collect(),
            embeddings: list("embeddings").iter().map(vector).collect(),
        };
        assert_eq!((read.texts.len(), read.embeddings.len()), (44, 44), "as examples/minilm says");
        read
    }

    /// The embedding of this text.
    pub fn of(&self, text: &str) -> &[f64] {
        let at = self.texts.iter().position(|known| known == text).expect("a text of the reference");
        &self.embeddings[at]
    }
}
