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
/// What splits texts; a folder that has it holds a text model.
pub const TOKENIZER: &str = "tokenizer.json";
/// Where sentence-transformers lists what follows the transformer.
pub const MODULES: &str = "modules.json";
/// Where the pooling is described when there is no `modules.json`: some exports keep only this.
pub(crate) const LONE_POOLING: &str = "1_Pooling/config.json";
/// Where sentence-transformers writes how much a text model takes; once there was a name for each architecture.
pub(crate) const SENTENCE_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// What else an embedding model or a text classifier is read from beside its graph.
const TEXT_FILES: [&str; 6] = [
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    MODULES,
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
    if !dir.join(TOKENIZER).is_file() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = TEXT_FILES.into_iter().chain(SENTENCE_CONFIGS).map(PathBuf::from).collect();
    match modules(dir)? {
        Some(modules) => {
            files.extend(modules.into_iter().filter_map(|module| Some(module.folder?.join("config.json"))));
        }
        None => files.push(LONE_POOLING.into()),
    }
    files.retain(|file| dir.join(file).is_file());
    Ok(files)
}

/// One step of a sentence-transformers model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its class in Python, with the path of its package.
    pub(crate) class: String,
    /// Its folder; none where that is the model's own.
    pub(crate) folder: Option<PathBuf>,
}

/// What `modules.json` lists; none where there is no such file.
///
/// # Errors
/// When it is broken, or names a folder outside of `dir`.
pub(crate) fn modules(dir: &Path) -> Result<Option<Vec<Module>>, LoadError> {
    #[derive(Deserialize)]
    struct Listed {
        #[serde(default)]
        path: String,
        #[serde(default, rename = "type")]
        class: String,
    }
    let path = dir.join(MODULES);
    let broken = |message: String| LoadError::Files(format!("{}: {message}", path.display()));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(broken(error.to_string())),
    };
    let listed: Vec<Listed> = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    let module = |Listed { path, class }: Listed| {
        let folder = if path.is_empty() { None } else { Some(inside(&path).map_err(broken)?) };
        Ok(Module { class, folder })
    };
    listed.into_iter().map(module).collect::<Result<_, _>>().map(Some)
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
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        write("config.json", "{}");
        assert_eq!(text_files(dir.path()), Ok(vec![]), "no tokenizer");
        write("tokenizer.json", "{}");
        write("sentence_xlm-roberta_config.json", "{}");
        std::fs::create_dir(dir.path().join("1_Pooling")).expect("made");
        write("1_Pooling/config.json", "{}");
        let names = |names: &[&str]| Ok(names.iter().map(PathBuf::from).collect());
        let sentence = "sentence_xlm-roberta_config.json";
        let alone = names(&["tokenizer.json", "config.json", sentence, "1_Pooling/config.json"]);
        assert_eq!(text_files(dir.path()), alone, "pooling without modules.json");
        std::fs::create_dir(dir.path().join("pool")).expect("made");
        write("pool/config.json", "{}");
        let modules = r#"[{"idx": 0, "path": ""}, {"idx": 1, "path": "pool"}, {"idx": 2, "path": "2_Normalize"}]"#;
        write("modules.json", modules);
        let listed = names(&["tokenizer.json", "config.json", "modules.json", sentence, "pool/config.json"]);
        assert_eq!(text_files(dir.path()), listed);
        write("modules.json", r#"[{"path": "../.."}]"#);
        assert!(text_files(dir.path()).is_err());
    }
}
