//! Getting a tokenizer ready: what its own files, or Python around them, would do to it.

use std::path::Path;

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::processors::sequence::Sequence as Processors;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{ModelWrapper, PostProcessor as _, Tokenizer};

use crate::backend::LoadError;
use crate::layout::TOKENIZER;

use super::file::JsonFile;
use super::files::Files;

/// Reads and prepares the `tokenizer.json` in `dir`; also gives what rows are to be filled up with.
///
/// # Errors
/// When it is broken, or the files contradict each other.
pub(super) fn open(dir: &Path, files: &Files) -> Result<(Tokenizer, u32), LoadError> {
    let path = dir.join(TOKENIZER);
    let broken = |error: &dyn std::fmt::Display| LoadError::Files(format!("{}: {error}", path.display()));
    let text = std::fs::read(&path).map_err(|error| broken(&error))?;
    let mut tokenizer = Tokenizer::from_bytes(text).map_err(|error| broken(&error))?;
    let pad_id = padding(files, &tokenizer)?;
    prepare(&mut tokenizer, files)?;
    Ok((tokenizer, pad_id))
}

/// Makes it cut, pad and remember nothing by itself, and lower-case and end texts where the other files ask for it.
fn prepare(tokenizer: &mut Tokenizer, files: &Files) -> Result<(), LoadError> {
    let failed = |file: &JsonFile, error: &dyn std::fmt::Display| {
        LoadError::Files(format!("{}: {error}", file.path().display()))
    };
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| failed(&files.tokenizer, &error))?;
    if matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
        // It would keep the words it has seen in each thread, for the thread's life: after many swaps those of many
        // models. Without, it takes 1.3 times as long.
        let mut model = tokenizer.get_model().clone();
        model.resize_cache(0);
        tokenizer.with_model(model);
    }
    if files.sentence.flag("do_lower_case")?.unwrap_or(false) {
        let own = tokenizer.get_normalizer().cloned();
        let both = [Some(Lowercase.into()), own].into_iter().flatten().collect();
        tokenizer.with_normalizer(Some(Sequence::new(both))).map_err(|error| failed(&files.sentence, &error))?;
    }
    // Qwen2's tokenizer in Python appends the token; the file's own template knows nothing of it.
    let adds_none = added(tokenizer, false) == 0;
    if adds_none && files.tokenizer.flag("add_eos_token")?.unwrap_or(false) {
        let eos = files.tokenizer.token("eos_token")?;
        let id = eos.and_then(|eos| Some((eos, tokenizer.token_to_id(eos)?)));
        let (eos, id) = id.ok_or_else(|| files.tokenizer.wrong("eos_token", "a token of the vocabulary"))?;
        let template = TemplateProcessing::builder()
            .try_single(format!("$A {eos}"))
            .and_then(|builder| builder.try_pair(format!("$A {eos} $B:1 {eos}:1")))
            .map_err(|error| failed(&files.tokenizer, &error))?
            .special_tokens(vec![(eos, id)])
            .build()
            .map_err(|error| failed(&files.tokenizer, &error))?;
        let own = tokenizer.get_post_processor().cloned();
        let both = own.into_iter().chain([template.into()]).collect();
        tokenizer.with_post_processor(Some(Processors::new(both)));
    }
    Ok(())
}

/// How many special tokens a text, or a pair of texts, gets.
pub(super) fn added(tokenizer: &Tokenizer, pair: bool) -> usize {
    tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pair))
}

/// The padding token that the files name, or the tokenizer's own, or 0. Where there is a mask it hardly matters; but
/// the family of `RoBERTa` counts places by what is no padding.
fn padding(files: &Files, tokenizer: &Tokenizer) -> Result<u32, LoadError> {
    for file in [&files.tokenizer, &files.special] {
        if let Some(id) = file.token("pad_token")?.and_then(|token| tokenizer.token_to_id(token)) {
            return Ok(id);
        }
    }
    if let Some(padding) = tokenizer.get_padding() {
        return Ok(padding.pad_id);
    }
    let id = files.config.number("pad_token_id")?.unwrap_or_default();
    u32::try_from(id).map_err(|_| files.config.wrong("pad_token_id", "a token"))
}
