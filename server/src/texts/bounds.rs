//! How large an answer may get: a body of a few megabytes can ask for gigabytes.

use perch_models::text::{Sequence, TextConfig, Want};

use crate::error::{ApiError, Kind};

/// The most bytes of the vectors of a request's tokens, in memory. As JSON they are three times as large.
const MOST_VECTORS: usize = 256 << 20;
/// The most bytes of text, prompts among them, whose tokens are shown. A token may be a byte, and shown takes a hundred.
const MOST_SHOWN: usize = 4 << 20;
/// Where neither a file nor the graph says how many dimensions there are.
const DIMENSIONS: usize = 1024;

/// Refuses texts whose answers would be too large, before they are run.
///
/// # Errors
/// [`Kind::TooManyInputs`], with the bound and what came.
pub fn check(config: &TextConfig, want: Want, texts: &[Sequence]) -> Result<(), ApiError> {
    match want {
        Want::Tokens => check_vectors(config, texts.iter().map(Sequence::len).sum()),
        Want::Embedding(_) | Want::Scores { .. } => Ok(()),
    }
}

fn check_vectors(config: &TextConfig, tokens: usize) -> Result<(), ApiError> {
    // Where a text's vector is several poolings of its tokens', it is so many times as long as theirs.
    let own = config.dimensions.map(|dimensions| dimensions / config.pooling.len().max(1));
    let dimensions = own.unwrap_or(DIMENSIONS).max(1);
    let most = MOST_VECTORS / (dimensions * size_of::<f32>());
    if tokens <= most {
        return Ok(());
    }
    let message = format!(
        "inputs: expected at most {most} tokens in all, since the answer has {dimensions} numbers for each, got {tokens}"
    );
    Err(ApiError::new(Kind::TooManyInputs, message))
}

/// Refuses texts of so many bytes, if their tokens would be too many to show.
///
/// # Errors
/// [`Kind::TooManyInputs`], with the bound and what came.
pub fn check_shown(bytes: usize) -> Result<(), ApiError> {
    if bytes <= MOST_SHOWN {
        return Ok(());
    }
    let message = format!("inputs: expected at most {MOST_SHOWN} bytes of text in all, prompts included, got {bytes}");
    Err(ApiError::new(Kind::TooManyInputs, message))
}

#[cfg(test)]
pub(super) mod tests {
    use perch_models::text::config::Task;
    use perch_models::text::pool::Mode;
    use perch_models::text::vector::Activation;
    use perch_models::text::{Direction, Finish};

    use super::*;

    /// What an embedder's files say.
    pub fn config(dimensions: Option<usize>, pooling: &[Mode]) -> TextConfig {
        TextConfig {
            task: Task::Embedding,
            pooling: pooling.to_vec(),
            include_prompt: true,
            normalise: true,
            dimensions,
            max_tokens: 512,
            truncation: Direction::Right,
            prompts: [].into(),
            default_prompt: None,
            pad_id: 0,
            first_position: 0,
            labels: Vec::new(),
            activation: Activation::Identity,
            family: None,
        }
    }

    #[test]
    fn vectors_of_tokens_have_a_bound_in_bytes() {
        for (config, most) in [
            (config(Some(384), &[Mode::Mean]), 174_762),
            (config(Some(768), &[Mode::Mean, Mode::Max]), 174_762),
            (config(Some(1024), &[]), 65_536),
            (config(None, &[]), 65_536),
            (config(Some(0), &[]), 64 << 20),
        ] {
            assert_eq!(check_vectors(&config, most), Ok(()));
            assert_eq!(check_vectors(&config, most + 1).expect_err("one more").kind, Kind::TooManyInputs);
        }
        let error = check_vectors(&config(Some(384), &[Mode::Mean]), 200_000).expect_err("too many");
        let message =
            "inputs: expected at most 174762 tokens in all, since the answer has 384 numbers for each, got 200000";
        assert_eq!(error.message, message);
    }

    #[test]
    fn only_vectors_of_tokens_are_bounded() {
        let config = config(Some(1 << 40), &[]);
        assert_eq!(check(&config, Want::Embedding(Finish::default()), &[]), Ok(()));
        assert_eq!(check(&config, Want::Scores { raw: true }, &[]), Ok(()));
        assert_eq!(check(&config, Want::Tokens, &[]), Ok(()));
    }

    #[test]
    fn texts_whose_tokens_are_shown_have_a_bound() {
        assert_eq!(check_shown(MOST_SHOWN), Ok(()));
        let error = check_shown(MOST_SHOWN + 1).expect_err("one more");
        assert_eq!(error.kind, Kind::TooManyInputs);
        let message = "inputs: expected at most 4194304 bytes of text in all, prompts included, got 4194305";
        assert_eq!(error.message, message);
    }
}
