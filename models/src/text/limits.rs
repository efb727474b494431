//! How many tokens a model takes, and where their places begin.

use crate::backend::LoadError;

use super::file::JsonFile;

/// Where no file says anything: what BERT takes.
const DEFAULT_TOKENS: usize = 512;
/// These begin to count places after the place of the padding token.
/// Source: `create_position_ids_from_input_ids` in `transformers`.
const PLACES_AFTER_PADDING: [&str; 11] = [
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

/// The files that say how much a model takes.
pub(super) struct LimitFiles<'f> {
    /// `config.json`.
    pub(super) config: &'f JsonFile,
    /// `tokenizer_config.json`.
    pub(super) tokenizer: &'f JsonFile,
    /// `sentence_bert_config.json`.
    pub(super) sentence: &'f JsonFile,
}

/// The place of the first token: 0, or what follows the padding token's in the family of `RoBERTa`.
///
/// # Errors
/// When a value is none.
pub(super) fn first_position(config: &JsonFile) -> Result<u32, LoadError> {
    let family = config.text("model_type")?.unwrap_or_default();
    if !PLACES_AFTER_PADDING.contains(&family) {
        return Ok(0);
    }
    let padding = config.number("pad_token_id")?.unwrap_or(1);
    u32::try_from(padding + 1).map_err(|_| config.wrong("pad_token_id", "a token"))
}

/// The most tokens of one text, special tokens among them.
///
/// `max_seq_length` of sentence-transformers, or else the tokenizer's `model_max_length`; no more than the model has
/// places for, and no more than the graph takes.
///
/// # Errors
/// When a value is none, or nothing is left.
pub(super) fn max_tokens(files: &LimitFiles<'_>, fixed_length: Option<usize>) -> Result<usize, LoadError> {
    let family = files.config.text("model_type")?.unwrap_or_default();
    let places = match files.config.length("max_position_embeddings")? {
        Some(places) => Some(places),
        // T5's places are relative: its n_positions limits nothing.
        None if family.contains("t5") => None,
        None => files.config.length("n_positions")?,
    };
    let places = match places {
        Some(places) => Some(places.saturating_sub(first_position(files.config)? as usize)),
        None => None,
    };
    let asked = match files.sentence.length("max_seq_length")? {
        Some(length) => Some(length),
        None => files.tokenizer.length("model_max_length")?,
    };
    let most = [asked, places, fixed_length].into_iter().flatten().min().unwrap_or(DEFAULT_TOKENS);
    if most == 0 {
        let path = files.config.path().parent().unwrap_or(files.config.path()).display();
        return Err(LoadError::Files(format!("{path}: the files leave room for no token at all")));
    }
    Ok(most)
}
