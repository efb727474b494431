//! The files that a text model is described in, beside its tokenizer and its modules.

use std::path::Path;

use crate::backend::LoadError;
use crate::layout::SENTENCE_CONFIGS;

use super::file::JsonFile;

/// Those files; one that is not there has no keys.
pub(super) struct Files {
    /// `config.json`.
    pub(super) config: JsonFile,
    /// `tokenizer_config.json`.
    pub(super) tokenizer: JsonFile,
    /// `special_tokens_map.json`.
    pub(super) special: JsonFile,
    /// `sentence_bert_config.json`, or the one of an older name.
    pub(super) sentence: JsonFile,
    /// `config_sentence_transformers.json`.
    pub(super) prompts: JsonFile,
}

impl Files {
    /// Reads those in `dir`.
    ///
    /// # Errors
    /// When one cannot be read, or is not a JSON object.
    pub(super) fn read(dir: &Path) -> Result<Self, LoadError> {
        let read = |name: &str| JsonFile::read(dir.join(name));
        Ok(Self {
            config: read("config.json")?,
            tokenizer: read("tokenizer_config.json")?,
            special: read("special_tokens_map.json")?,
            sentence: JsonFile::first(dir, &SENTENCE_CONFIGS)?,
            prompts: read("config_sentence_transformers.json")?,
        })
    }
}
