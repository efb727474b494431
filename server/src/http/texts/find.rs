//! Which model a request for texts means.

use std::sync::Arc;

use perch_models::text::Task;

use crate::catalog::{Served, Snapshot};
use crate::error::{ApiError, Kind};

/// What a request needs of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A tokenizer.
    Tokens,
    /// Whatever it gives for texts.
    Any,
    /// Embeddings.
    Embeddings,
    /// Scores of labels, or of pairs.
    Scores,
    /// One score for two texts.
    Ranks,
}

/// What a model does, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing is loaded.
    Unknown,
    /// It takes tensors.
    Tensors,
    /// It takes texts.
    Texts(Task),
}

/// The version that answers for the model that is meant: the one that is named, else the only one there is, else the
/// only one that does what is needed.
///
/// # Errors
/// 404 for a model that is not known or takes no texts, 422 for one that does something else or when a name is needed,
/// 503 when nothing is loaded.
pub fn find<'s>(snapshot: &'s Snapshot, named: Option<&str>, needs: Needs) -> Result<&'s Arc<Served>, ApiError> {
    let named = match named {
        None if snapshot.models.len() > 1 => {
            let models = snapshot.models.iter();
            let does: Vec<_> = models.map(|(name, entry)| (name.as_str(), does(entry.stable.as_deref()))).collect();
            Some(only(&does, needs)?)
        }
        named => named,
    };
    let stable = snapshot.stable(named)?;
    check(&stable.model, does(Some(stable)), needs)?;
    Ok(stable)
}

fn does(served: Option<&Served>) -> Does {
    let Some(served) = served else { return Does::Unknown };
    served.runtime.text().map_or(Does::Tensors, |text| Does::Texts(text.config().task))
}

impl Needs {
    const fn met_by(self, task: Task) -> bool {
        match self {
            Self::Tokens | Self::Any => true,
            Self::Embeddings => matches!(task, Task::Embedding),
            Self::Scores => matches!(task, Task::Classifier | Task::Reranker),
            Self::Ranks => matches!(task, Task::Reranker),
        }
    }

    /// Whether a model that nobody has named may be taken. Who sends one text does not mean a reranker.
    const fn chooses(self, task: Task) -> bool {
        self.met_by(task) && !matches!((self, task), (Self::Any, Task::Reranker))
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Embeddings => "embeddings",
            Self::Scores => "scores",
            Self::Ranks => "ranks",
            Self::Any => "answers",
        }
    }
}

/// What a task gives, and where.
const fn given(task: Task) -> (&'static str, &'static str) {
    match task {
        Task::Embedding => ("embeddings", "/embed"),
        Task::Classifier => ("scores", "/predict"),
        Task::Reranker => ("ranks", "/rerank"),
    }
}

/// Refuses a model that does something else.
fn check(name: &str, does: Does, needs: Needs) -> Result<(), ApiError> {
    match does {
        Does::Texts(task) if needs.met_by(task) => Ok(()),
        Does::Texts(task) => {
            let ((gives, place), what) = (given(task), needs.what());
            let message = format!("model \"{name}\" gives {gives}, not {what}: use {place}");
            Err(ApiError::new(Kind::InvalidInput, message))
        }
        Does::Tensors => {
            let message = format!("model \"{name}\" takes tensors, not texts: use /predict");
            Err(ApiError::new(Kind::NotText, message))
        }
        Does::Unknown => Err(ApiError::new(Kind::NotReady, format!("model \"{name}\" has no version loaded"))),
    }
}

/// The only one of several models that does what is needed.
fn only<'n>(models: &[(&'n str, Does)], needs: Needs) -> Result<&'n str, ApiError> {
    let fits = |does| matches!(does, Does::Texts(task) if needs.chooses(task));
    let fitting: Vec<&str> = models.iter().filter(|(_, does)| fits(*does)).map(|(name, _)| *name).collect();
    match fitting.as_slice() {
        [name] => Ok(name),
        [] => {
            let waiting: Vec<&str> =
                models.iter().filter(|(_, does)| *does == Does::Unknown).map(|(name, _)| *name).collect();
            let what = needs.what();
            Err(if waiting.is_empty() {
                ApiError::new(Kind::ModelNotFound, format!("no model that is served gives {what} for texts"))
            } else {
                let waiting = waiting.join(", ");
                let message = format!("no model that is loaded gives {what} for texts; not loaded yet: {waiting}");
                ApiError::new(Kind::NotReady, message)
            })
        }
        several => {
            let names = several.join(", ");
            let message = format!("model: several give {}, name one of {names}", needs.what());
            Err(ApiError::new(Kind::InvalidInput, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMBEDDING: Does = Does::Texts(Task::Embedding);
    const CLASSIFIER: Does = Does::Texts(Task::Classifier);
    const RERANKER: Does = Does::Texts(Task::Reranker);

    #[test]
    fn the_only_model_that_fits_need_not_be_named() {
        let models = [("curve", Does::Tensors), ("minilm", EMBEDDING), ("mood", CLASSIFIER), ("rank", RERANKER)];
        assert_eq!(only(&models, Needs::Embeddings), Ok("minilm"));
        assert_eq!(only(&models, Needs::Ranks), Ok("rank"));
        let error = only(&models, Needs::Scores).expect_err("two");
        assert_eq!(error.kind, Kind::InvalidInput);
        assert_eq!(error.message, "model: several give scores, name one of mood, rank");
        assert_eq!(
            only(&models, Needs::Any).expect_err("two").message,
            "model: several give answers, name one of minilm, mood"
        );
        assert_eq!(only(&[("minilm", EMBEDDING), ("rank", RERANKER)], Needs::Any), Ok("minilm"));
        assert!(only(&models, Needs::Tokens).expect_err("three").message.ends_with("minilm, mood, rank"));
    }

    #[test]
    fn what_is_not_there_may_still_come() {
        let error = only(&[("curve", Does::Tensors), ("mood", CLASSIFIER)], Needs::Embeddings).expect_err("none");
        assert_eq!(error.kind, Kind::ModelNotFound);
        assert_eq!(error.message, "no model that is served gives embeddings for texts");
        let error = only(&[("curve", Does::Tensors), ("minilm", Does::Unknown)], Needs::Embeddings).expect_err("none");
        assert_eq!(error.kind, Kind::NotReady);
        assert!(error.message.ends_with("not loaded yet: minilm"), "{}", error.message);
    }

    #[test]
    fn a_model_that_does_something_else_says_what_and_where() {
        assert_eq!(check("m", EMBEDDING, Needs::Embeddings), Ok(()));
        assert_eq!(check("m", RERANKER, Needs::Scores), Ok(()));
        for (does, needs, kind, message) in [
            (Does::Tensors, Needs::Embeddings, Kind::NotText, "model \"m\" takes tensors, not texts: use /predict"),
            (EMBEDDING, Needs::Ranks, Kind::InvalidInput, "model \"m\" gives embeddings, not ranks: use /embed"),
            (
                CLASSIFIER,
                Needs::Embeddings,
                Kind::InvalidInput,
                "model \"m\" gives scores, not embeddings: use /predict",
            ),
        ] {
            let error = check("m", does, needs).expect_err(message);
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
        }
    }
}
