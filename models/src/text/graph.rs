//! What of a graph's inputs and outputs a text goes through.

use crate::backend::LoadError;
use crate::dtype::DType;
use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};

use super::file::JsonFile;

/// What an input is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The tokens.
    Ids,
    /// 1 for a token, 0 for padding.
    Mask,
    /// Which of two texts a token belongs to.
    Types,
    /// The places of the tokens.
    Positions,
}

/// Names of inputs, as `transformers` exports them.
const ROLES: [(&str, Role); 4] = [
    ("input_ids", Role::Ids),
    ("attention_mask", Role::Mask),
    ("token_type_ids", Role::Types),
    ("position_ids", Role::Positions),
];

/// The output that answers are made from, as its place among the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// `[rows, dim]`: the graph pools.
    Pooled { column: usize, tokens: Option<usize> },
    /// `[rows, length, dim]`: a vector a token.
    Tokens { column: usize },
    /// `[rows, labels]`: logits.
    Scores { column: usize },
}

/// A graph that takes texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph {
    /// What each input is filled with, and whether with `int32` in place of `int64`.
    pub(super) inputs: Vec<(Role, bool)>,
    /// The only length it takes, where there is but one.
    pub(super) fixed_length: Option<usize>,
    /// What answers are made from.
    pub(super) output: Output,
    /// The last dimension of that, where the graph says it.
    pub(super) width: Option<usize>,
}

impl Graph {
    /// Reads a signature; `config` is the model's `config.json`.
    ///
    /// # Errors
    /// When there is an input that nothing is known of, or no output that can be used.
    pub(super) fn of(signature: &Signature, config: &JsonFile) -> Result<Self, LoadError> {
        let inputs = signature.inputs.iter().map(role).collect::<Result<Vec<_>, _>>()?;
        let Some(ids) = signature.input("input_ids").and_then(|i| signature.inputs.get(i)) else {
            let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            let message = format!("a text model needs the input input_ids, but the graph takes {}", names.join(", "));
            return Err(LoadError::Unsupported(message));
        };
        let fixed_length = match ids.shape.get(1) {
            Some(Dim::Fixed(length)) => Some(*length),
            _ => None,
        };
        let candidates: Vec<Candidate<'_>> = signature.outputs.iter().enumerate().filter_map(Candidate::of).collect();
        let output = choose(&candidates, config)?.ok_or_else(|| {
            let outputs: Vec<String> = signature.outputs.iter().map(described).collect();
            LoadError::Unsupported(format!(
                "expected an output last_hidden_state [batch, tokens, dimensions], sentence_embedding [batch, \
                 dimensions] or logits [batch, labels], but the graph gives {}",
                outputs.join(", ")
            ))
        })?;
        let (Output::Pooled { column, .. } | Output::Tokens { column } | Output::Scores { column }) = output;
        let width = candidates.iter().find(|candidate| candidate.column == column).and_then(Candidate::width);
        Ok(Self { inputs, fixed_length, output, width })
    }

    /// Whether rows may be padded: without a mask, padding would take part.
    pub(super) fn has_mask(&self) -> bool {
        self.inputs.iter().any(|(role, _)| *role == Role::Mask)
    }
}

fn role(spec: &TensorSpec) -> Result<(Role, bool), LoadError> {
    let unsupported = |hint: &str| {
        let known = ROLES.map(|(name, _)| name).join(", ");
        LoadError::Unsupported(format!(
            "input \"{}\" is {spec}: expected int64 or int32 [batch, tokens] of the names {known}{hint}",
            spec.name
        ))
    };
    let Some((_, role)) = ROLES.iter().find(|(name, _)| *name == spec.name) else {
        let cache = spec.name.starts_with("past_key_values");
        return Err(unsupported(if cache { "; export the model without a cache (use_cache=False)" } else { "" }));
    };
    match spec.dtype {
        DType::I64 | DType::I32 if matches!(spec.shape.len(), 0 | 2) => Ok((*role, spec.dtype == DType::I32)),
        _ => Err(unsupported("")),
    }
}

/// An output of floats. An empty shape says nothing: some tools leave shapes out.
#[derive(Clone, Copy)]
struct Candidate<'s> {
    column: usize,
    name: &'s str,
    shape: &'s [Dim],
}

impl<'s> Candidate<'s> {
    fn of((column, output): (usize, &'s OutputSpec)) -> Option<Self> {
        let OutputSpec::Tensor(spec) = output else { return None };
        let floats = matches!(spec.dtype, DType::F16 | DType::F32 | DType::F64);
        floats.then_some(Self { column, name: &spec.name, shape: &spec.shape })
    }

    /// Values of a row, or of a token.
    fn width(&self) -> Option<usize> {
        match self.shape {
            [_] => Some(1),
            [_, .., Dim::Fixed(width)] => Some(*width),
            _ => None,
        }
    }
}

/// Names first, since a graph may give more than one is asked for: `BertModel` also gives `pooler_output`, which is no
/// sentence embedding.
fn choose(candidates: &[Candidate<'_>], config: &JsonFile) -> Result<Option<Output>, LoadError> {
    let named = |names: &[&str], rank: usize| {
        let fits = |candidate: &&Candidate<'_>| {
            names.contains(&candidate.name) && (candidate.shape.is_empty() || candidate.shape.len() == rank)
        };
        candidates.iter().find(fits).map(|candidate| candidate.column)
    };
    let only = |rank: usize| {
        let mut of_rank = candidates.iter().filter(|candidate| candidate.shape.len() == rank);
        let first = of_rank.next().map(|candidate| candidate.column);
        first.filter(|_| of_rank.next().is_none())
    };
    let tokens = || named(&["last_hidden_state", "token_embeddings"], 3);
    if let Some(column) = named(&["sentence_embedding"], 2) {
        return Ok(Some(Output::Pooled { column, tokens: tokens() }));
    }
    if let Some(logits) = candidates.iter().find(|candidate| candidate.name == "logits") {
        return match logits.shape.len() {
            0..=2 => Ok(Some(Output::Scores { column: logits.column })),
            _ => Err(LoadError::Unsupported(
                "output \"logits\" has a score for each token: token classification, masked and causal language models \
                 are not served"
                    .into(),
            )),
        };
    }
    let architectures = config.list("architectures")?.unwrap_or_default();
    let classifies = architectures.iter().any(|name| name.ends_with("ForSequenceClassification"))
        // Without a word on what it is, labels are what only classifiers have.
        || (architectures.is_empty() && config.get("id2label").is_some());
    if classifies && let Some(column) = only(2).or_else(|| only(1)) {
        return Ok(Some(Output::Scores { column }));
    }
    if let Some(column) = tokens().or_else(|| only(3)) {
        return Ok(Some(Output::Tokens { column }));
    }
    Ok(only(2).map(|column| Output::Pooled { column, tokens: None }))
}

fn described(output: &OutputSpec) -> String {
    match output {
        OutputSpec::Tensor(spec) => format!("\"{}\" {spec}", spec.name),
        OutputSpec::Maps { name } => format!("\"{name}\" maps"),
    }
}
