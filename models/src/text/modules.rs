//! What sentence-transformers does after the transformer: `modules.json` and the folders it names.

use std::path::Path;

use crate::backend::LoadError;
use crate::layout::{self, Module};

use super::file::JsonFile;
use super::pool::Mode;

/// What becomes of the tokens' vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// How they are pooled; several are joined.
    pub(super) pooling: Vec<Mode>,
    /// Whether the prompt's tokens are pooled too.
    pub(super) include_prompt: bool,
    /// The dimension of a token's vector, where a file says it.
    pub(super) token_dim: Option<usize>,
    /// Whether the vector is scaled to norm 1.
    pub(super) normalise: bool,
}

impl Default for Head {
    /// What sentence-transformers makes of a model that says nothing: the mean, as it is.
    fn default() -> Self {
        Self { pooling: vec![Mode::Mean], include_prompt: true, token_dim: None, normalise: false }
    }
}

impl Head {
    /// Reads the folder of a model. `pooled`: the graph pools already, so that only normalising is left; what lies
    /// between, such as a Dense layer, is in the graph.
    ///
    /// # Errors
    /// When a file is broken, or there is a module that is neither in the graph nor here.
    pub(super) fn read(dir: &Path, pooled: bool) -> Result<Self, LoadError> {
        let Some(modules) = layout::modules(dir)? else {
            let path = dir.join(layout::LONE_POOLING);
            return if path.is_file() {
                Self::default().with_pooling(&JsonFile::read(path)?)
            } else {
                Ok(Self::default())
            };
        };
        let refuse = |message: String| {
            let path = dir.join(layout::MODULES);
            LoadError::Unsupported(format!("{}: {message}", path.display()))
        };
        let mut head = Self::default();
        let mut poolings = 0;
        // The first module is the graph, whatever its class is called.
        for module in modules.iter().skip(1) {
            match class(module) {
                // Does nothing once a model is trained.
                "Dropout" => {}
                "Normalize" => head.normalise = true,
                "Pooling" => {
                    let path = dir.join(module.folder.as_deref().unwrap_or(Path::new(""))).join("config.json");
                    if !path.is_file() {
                        return Err(refuse(format!("it names a Pooling, but there is no {}", path.display())));
                    }
                    head = head.with_pooling(&JsonFile::read(path)?)?;
                    poolings += 1;
                }
                _ if pooled => {}
                other => {
                    return Err(refuse(format!(
                        "the module {other} is not served: export the whole model to a graph that gives \
                         sentence_embedding (optimum-cli export onnx --library sentence_transformers)"
                    )));
                }
            }
        }
        if !pooled && poolings != 1 {
            return Err(refuse(format!("expected one Pooling after the transformer, got {poolings}")));
        }
        Ok(head)
    }

    /// Takes over a Pooling module's `config.json`, in the form of one `pooling_mode` or in the older one of a flag a
    /// mode.
    fn with_pooling(self, file: &JsonFile) -> Result<Self, LoadError> {
        let pooling = match (file.text("pooling_mode"), file.list("pooling_mode")) {
            (Ok(Some(name)), _) => vec![mode(file, name)?],
            (_, Ok(Some(names))) => names.into_iter().map(|name| mode(file, name)).collect::<Result<_, _>>()?,
            (Err(_), Err(_)) => return Err(file.wrong("pooling_mode", "the name of a mode, or a list of them")),
            (Ok(None), _) | (_, Ok(None)) => flagged(file)?,
        };
        let dim = file.number("embedding_dimension")?;
        let token_dim = if dim.is_some() { dim } else { file.number("word_embedding_dimension")? };
        let include_prompt = file.flag("include_prompt")?.unwrap_or(true);
        Ok(Self { pooling, include_prompt, token_dim, ..self })
    }
}

/// The last part of `sentence_transformers.models.Pooling`.
fn class(module: &Module) -> &str {
    module.class.rsplit('.').next().unwrap_or_default()
}

fn mode(file: &JsonFile, name: &str) -> Result<Mode, LoadError> {
    let known = || format!("one of {}", Mode::ALL.map(Mode::name).join(", "));
    Mode::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| file.wrong("pooling_mode", &known()))
}

fn flagged(file: &JsonFile) -> Result<Vec<Mode>, LoadError> {
    let mut modes = Vec::new();
    for mode in Mode::ALL {
        if file.flag(mode.flag())?.unwrap_or(false) {
            modes.push(mode);
        }
    }
    Ok(if modes.is_empty() { vec![Mode::Mean] } else { modes })
}
