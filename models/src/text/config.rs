//! What a model's folder says of it, beside its graph and its tokenizer.
//!
//! Files that are not there mean what they mean to `sentence_transformers`: without `modules.json` the tokens' vectors
//! are averaged and not normalised; without lengths there are 512 tokens; without prompts there are none. Keys that are
//! there and hold something else than expected are errors.

use std::collections::BTreeMap;
use std::path::Path;

use crate::backend::LoadError;
use crate::signature::Signature;

use super::file::JsonFile;
use super::files::Files;
use super::graph::{Graph, Output};
use super::labels;
use super::limits::{self, LimitFiles};
use super::modules::Head;
use super::pool::Mode;
use super::vector::Activation;

/// What a text model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A vector a text.
    Embedding,
    /// A score for each label.
    Classifier,
    /// One score for two texts.
    Reranker,
}

impl Task {
    /// As text-embeddings-inference calls it in `/info`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Classifier => "classifier",
            Self::Reranker => "reranker",
        }
    }
}

/// Which end of a text is cut off when it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The beginning.
    Left,
    /// The end.
    #[default]
    Right,
}

/// How texts become inputs, and outputs answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextConfig {
    /// What it gives.
    pub task: Task,
    /// How the tokens' vectors become one; several vectors are joined. Empty where the graph pools, or gives scores.
    pub pooling: Vec<Mode>,
    /// Whether the prompt's tokens are pooled too.
    pub include_prompt: bool,
    /// Whether the model's own last step is to scale its vectors to norm 1.
    pub normalise: bool,
    /// Dimensions of an embedding, where a file or the graph says so.
    pub dimensions: Option<usize>,
    /// The most tokens of one row, special tokens among them.
    pub max_tokens: usize,
    /// Which end is cut off unless a request says it.
    pub truncation: Direction,
    /// Texts that can be put before a text, by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt of requests that name none.
    pub default_prompt: Option<String>,
    /// What rows are filled up with.
    pub pad_id: u32,
    /// Place of the first token, where the graph asks for places.
    pub first_position: u32,
    /// Names of the scores, in their order.
    pub labels: Vec<String>,
    /// What becomes of logits.
    pub activation: Activation,
    /// `model_type` of `config.json`: `bert`, `xlm-roberta`, …
    pub family: Option<String>,
}

impl TextConfig {
    /// Puts together what the files and the graph say.
    ///
    /// # Errors
    /// When they are broken, contradict each other, or ask for what is not served.
    pub(super) fn new(
        dir: &Path,
        files: &Files,
        signature: &Signature,
        pad_id: u32,
    ) -> Result<(Self, Graph), LoadError> {
        let graph = Graph::of(signature, &files.config)?;
        let limits = LimitFiles { config: &files.config, tokenizer: &files.tokenizer, sentence: &files.sentence };
        let (prompts, default_prompt) = prompts(&files.prompts)?;
        let mut config = Self {
            task: Task::Embedding,
            pooling: Vec::new(),
            include_prompt: true,
            normalise: false,
            dimensions: None,
            max_tokens: limits::max_tokens(&limits, graph.fixed_length)?,
            truncation: truncation(&files.tokenizer)?,
            prompts,
            default_prompt,
            pad_id,
            first_position: limits::first_position(&files.config)?,
            labels: Vec::new(),
            activation: Activation::Identity,
            family: files.config.text("model_type")?.map(str::to_owned),
        };
        match graph.output {
            Output::Scores { .. } => {
                config.labels = labels::labels(&files.config, graph.width)?;
                config.activation = labels::activation(&files.config, config.labels.len())?;
                config.task = if config.labels.len() == 1 { Task::Reranker } else { Task::Classifier };
            }
            Output::Pooled { .. } => {
                let head = Head::read(dir, true)?;
                if !head.include_prompt && !config.prompts.is_empty() {
                    let message = "the pooling leaves prompts out (include_prompt is false), but the graph pools by \
                                   itself and knows nothing of prompts: export it with the output last_hidden_state";
                    return Err(LoadError::Unsupported(message.into()));
                }
                config.normalise = head.normalise;
                config.dimensions = graph.width;
            }
            Output::Tokens { .. } => config.take_head(Head::read(dir, false)?, &graph)?,
        }
        Ok((config, graph))
    }

    fn take_head(&mut self, head: Head, graph: &Graph) -> Result<(), LoadError> {
        if let (Some(pooled), Some(given)) = (head.token_dim, graph.width)
            && pooled != given
        {
            let message = format!("the pooling expects {pooled} dimensions a token, but the graph gives {given}");
            return Err(LoadError::Files(message));
        }
        self.dimensions = graph.width.or(head.token_dim).map(|dim| dim * head.pooling.len());
        self.pooling = head.pooling;
        self.include_prompt = head.include_prompt;
        self.normalise = head.normalise;
        Ok(())
    }
}

fn truncation(tokenizer: &JsonFile) -> Result<Direction, LoadError> {
    match tokenizer.text("truncation_side")? {
        None | Some("right") => Ok(Direction::Right),
        Some("left") => Ok(Direction::Left),
        Some(_) => Err(tokenizer.wrong("truncation_side", "left or right")),
    }
}

fn prompts(file: &JsonFile) -> Result<(BTreeMap<String, String>, Option<String>), LoadError> {
    let prompts = file.texts("prompts")?.unwrap_or_default();
    let default = file.text("default_prompt_name")?.map(str::to_owned);
    if default.as_ref().is_some_and(|name| !prompts.contains_key(name)) {
        let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
        return Err(file.wrong("default_prompt_name", &format!("one of the prompts [{}]", known.join(", "))));
    }
    Ok((prompts, default))
}
