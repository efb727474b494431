//! What a classifier's scores are scores of.

use crate::backend::LoadError;

use super::file::JsonFile;
use super::vector::Activation;

/// `transformers` leaves its default number of labels out of `config.json`.
const DEFAULT_LABELS: usize = 2;

/// The names of the scores, in the order of the logits: `id2label`, or `LABEL_0` and so on.
///
/// `width` is the number of logits, where the graph says it.
///
/// # Errors
/// When the labels are not numbered from 0, or the graph gives another number of logits.
pub(super) fn labels(config: &JsonFile, width: Option<usize>) -> Result<Vec<String>, LoadError> {
    let numbered = |count: usize| (0..count).map(|i| format!("LABEL_{i}")).collect();
    let names: Vec<String> = match config.texts("id2label")? {
        Some(names) => {
            let mut sorted: Vec<(usize, String)> = Vec::with_capacity(names.len());
            for (id, name) in names {
                let id = id.parse().map_err(|_| config.wrong("id2label", "labels by number"))?;
                sorted.push((id, name));
            }
            sorted.sort();
            if sorted.is_empty() || sorted.iter().enumerate().any(|(i, (id, _))| i != *id) {
                return Err(config.wrong("id2label", "labels numbered from 0"));
            }
            sorted.into_iter().map(|(_, name)| name).collect()
        }
        None => numbered(config.number("num_labels")?.or(width).unwrap_or(DEFAULT_LABELS)),
    };
    match width {
        Some(width) if width != names.len() => {
            let message = format!("names {} labels, but the graph gives {width} scores", names.len());
            Err(LoadError::Files(format!("{} {message}", config.path().display())))
        }
        _ => Ok(names),
    }
}

/// What becomes of the logits of a model with so many labels: one is a score by itself, several compete unless
/// `problem_type` says otherwise.
///
/// Source: `TextClassificationPipeline` of `transformers`, and text-embeddings-inference, which gives one score as a
/// sigmoid whatever the model was trained for.
///
/// # Errors
/// When `problem_type` is none that is known.
pub(super) fn activation(config: &JsonFile, labels: usize) -> Result<Activation, LoadError> {
    let problem = config.text("problem_type")?;
    match (labels, problem) {
        (1, _) | (_, Some("multi_label_classification")) => Ok(Activation::Sigmoid),
        (_, None | Some("single_label_classification")) => Ok(Activation::Softmax),
        (_, Some("regression")) => Ok(Activation::Identity),
        _ => {
            let expected = "single_label_classification, multi_label_classification or regression";
            Err(config.wrong("problem_type", expected))
        }
    }
}
