//! How a version's folder is laid out: as MLflow logs an ONNX model, or plainly with a `model.onnx`.
//!
//! `MLmodel` is YAML; of it only what names files is read. Source: MLflow's documentation, "MLflow Models", and what
//! `mlflow.onnx.log_model` of MLflow 2.x and 3.x writes: both name the graph in `flavors.onnx.data` and the input
//! example in `saved_input_example_info.artifact_path`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::backend::LoadError;
use crate::declared::{self, Declared};
use crate::registry::inside;

/// The graph's name in a plain folder.
pub const GRAPH: &str = "model.onnx";
/// What MLflow describes a model in.
pub const MLMODEL: &str = "MLmodel";
/// Larger is no description of a model.
const MAX_MLMODEL: usize = 4 << 20;
/// Examples, the better one first, as MLflow writes them.
const EXAMPLES: [&str; 2] = ["input_example.json", "serving_input_example.json"];
/// What an embedding model or a text classifier is read from beside its graph: the tokenizer's and
/// sentence-transformers' files.
const TEXT_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// Which files of a version's folder mean what; paths are relative to the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The graph, where the folder says which it is.
    pub graph: Option<PathBuf>,
    /// Where an input example may be, the better one first.
    pub examples: Vec<PathBuf>,
    /// The inputs that it declares.
    pub declared: Vec<Declared>,
}

#[derive(Deserialize)]
struct MlModel {
    #[serde(default)]
    flavors: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    saved_input_example_info: Option<ExampleInfo>,
    #[serde(default)]
    signature: Option<DeclaredSignature>,
}

#[derive(Deserialize)]
struct DeclaredSignature {
    #[serde(default)]
    inputs: Option<String>,
}

#[derive(Deserialize)]
struct ExampleInfo {
    #[serde(default)]
    artifact_path: Option<String>,
}

impl Layout {
    /// Reads what `dir` says of itself.
    ///
    /// # Errors
    /// When its `MLmodel` is broken, or describes a model that is no ONNX model.
    pub fn of(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(MLMODEL);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { examples: EXAMPLES.map(PathBuf::from).into(), ..Self::default() });
            }
            Err(error) => return Err(LoadError::Files(format!("{}: {error}", path.display()))),
        };
        Self::parse(&text).map_err(|error| match error {
            LoadError::Files(message) => LoadError::Files(format!("{}: {message}", path.display())),
            LoadError::Unsupported(message) => LoadError::Unsupported(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Reads an `MLmodel`.
    ///
    /// # Errors
    /// When it is broken, or describes a model that is no ONNX model.
    pub fn parse(mlmodel: &[u8]) -> Result<Self, LoadError> {
        let broken = |message: String| LoadError::Files(format!("not an MLmodel: {message}"));
        if mlmodel.len() > MAX_MLMODEL {
            return Err(broken(format!("{} bytes are more than it can have", mlmodel.len())));
        }
        let text = std::str::from_utf8(mlmodel).map_err(|error| broken(error.to_string()))?;
        let model: MlModel = serde_saphyr::from_str(text).map_err(|error| broken(first_line(&error.to_string())))?;
        let Some(onnx) = model.flavors.get("onnx") else {
            let flavors: Vec<&str> = model.flavors.keys().map(String::as_str).collect();
            let found = if flavors.is_empty() { "no flavor at all".to_owned() } else { flavors.join(", ") };
            return Err(LoadError::Unsupported(format!(
                "it has {found}, but perch serves the flavor onnx: convert the model (skl2onnx, torch.onnx.export, \
                 tf2onnx) and log it with mlflow.onnx.log_model"
            )));
        };
        let graph = match onnx.get("data") {
            Some(serde_json::Value::String(data)) => Some(inside(data).map_err(broken)?),
            None | Some(serde_json::Value::Null) => None,
            Some(other) => return Err(broken(format!("flavors.onnx.data: expected a file's name, got {other}"))),
        };
        let mut examples = Vec::new();
        if let Some(path) = model.saved_input_example_info.and_then(|info| info.artifact_path) {
            examples.push(inside(&path).map_err(broken)?);
        }
        examples.extend(EXAMPLES.map(PathBuf::from));
        let inputs = model.signature.and_then(|signature| signature.inputs);
        Ok(Self { graph, examples, declared: inputs.map(|inputs| declared::parse(&inputs)).unwrap_or_default() })
    }
}

/// The tokenizer's and sentence-transformers' files in `dir`; none without a `tokenizer.json`.
///
/// # Errors
/// When `modules.json` is broken.
pub fn text_files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if !dir.join(TEXT_FILES[0]).is_file() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = TEXT_FILES.map(PathBuf::from).into();
    files.extend(module_files(dir)?);
    files.retain(|file| dir.join(file).is_file());
    Ok(files)
}

/// `N_Pooling/config.json` and its like, as `modules.json` names their folders.
fn module_files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    #[derive(Deserialize)]
    struct Module {
        #[serde(default)]
        path: String,
    }
    let path = dir.join("modules.json");
    let broken = |message: String| LoadError::Files(format!("{}: {message}", path.display()));
    let Ok(text) = std::fs::read(&path) else { return Ok(Vec::new()) };
    let modules: Vec<Module> = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    let named = modules.into_iter().filter(|module| !module.path.is_empty());
    named.map(|module| inside(&module.path).map(|folder| folder.join("config.json")).map_err(broken)).collect()
}

/// YAML errors go on with an excerpt of the file.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mlflows_own_description_names_graph_and_example() {
        let text = "artifact_path: model\nflavors:\n  onnx:\n    code: ''\n    data: model.onnx\n    onnx_version: 1.23.2\n  \
                    python_function:\n    data: model.onnx\n    loader_module: mlflow.onnx\n\
                    saved_input_example_info:\n  artifact_path: example.json\n  type: ndarray\n";
        let layout = Layout::parse(text.as_bytes()).expect("right");
        assert_eq!(layout.graph, Some("model.onnx".into()));
        let names = ["example.json", "input_example.json", "serving_input_example.json"];
        assert_eq!(layout.examples, names.map(PathBuf::from));
    }

    #[test]
    fn other_flavors_are_told_what_to_log_instead() {
        let text =
            "flavors:\n  python_function: {loader_module: mlflow.sklearn}\n  sklearn: {pickled_model: model.pkl}\n";
        let error = Layout::parse(text.as_bytes()).expect_err("no ONNX").to_string();
        assert!(
            error.contains("it has python_function, sklearn") && error.contains("mlflow.onnx.log_model"),
            "{error}"
        );
        let error = Layout::parse(b"run_id: 1\n").expect_err("no ONNX").to_string();
        assert!(error.contains("it has no flavor at all"), "{error}");
    }

    #[test]
    fn broken_descriptions_are_refused() {
        for text in ["flavors: [", "- 1", "flavors: {onnx: {data: ../up.onnx}}", "flavors: {onnx: {data: 3}}", "\u{0}"]
        {
            let error = Layout::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains("not an MLmodel"), "{text}: {error}");
        }
        assert!(Layout::parse(b"\xff").is_err());
    }

    #[test]
    fn text_files_are_those_that_are_there() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("config.json"), "{}").expect("written");
        assert_eq!(text_files(dir.path()), Ok(vec![]), "no tokenizer");
        std::fs::write(dir.path().join("tokenizer.json"), "{}").expect("written");
        std::fs::create_dir(dir.path().join("1_Pooling")).expect("made");
        std::fs::write(dir.path().join("1_Pooling/config.json"), "{}").expect("written");
        let modules = r#"[{"idx": 0, "path": ""}, {"idx": 1, "path": "1_Pooling"}, {"idx": 2, "path": "2_Normalize"}]"#;
        std::fs::write(dir.path().join("modules.json"), modules).expect("written");
        let names = ["tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json"];
        assert_eq!(text_files(dir.path()), Ok(names.map(PathBuf::from).into()));
        std::fs::write(dir.path().join("modules.json"), r#"[{"path": "../.."}]"#).expect("written");
        assert!(text_files(dir.path()).is_err());
    }
}
