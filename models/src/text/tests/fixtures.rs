//! Small tokenizers of the kinds that are in use, folders to put them in, and graphs to go with them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::backend::LoadError;
use crate::dtype::DType;
use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};
use crate::text::TextModel;

/// A model's folder.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new(tokenizer: &Value) -> Self {
        Self(tempfile::tempdir().expect("a folder")).with("tokenizer.json", tokenizer)
    }

    /// With one more file.
    pub(super) fn with(self, name: &str, content: &Value) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
        std::fs::write(path, content.to_string()).expect("written");
        self
    }

    /// With the `modules.json` that sentence-transformers writes.
    pub(super) fn with_modules(self, classes: &[&str]) -> Self {
        let module = |(i, class): (usize, &&str)| {
            let path = if i == 0 { String::new() } else { format!("{i}_{class}") };
            let class = format!("sentence_transformers.models.{class}");
            json!({"idx": i, "name": i.to_string(), "path": path, "type": class})
        };
        self.with("modules.json", &classes.iter().enumerate().map(module).collect())
    }

    /// With the pooling that those modules name.
    pub(super) fn with_pooling(self, content: &Value) -> Self {
        self.with("1_Pooling/config.json", content)
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub(super) fn load(&self, signature: &Signature) -> Result<TextModel, LoadError> {
        TextModel::load(self.path(), signature).map(|model| model.expect("it has a tokenizer"))
    }

    pub(super) fn loaded(&self, signature: &Signature) -> TextModel {
        self.load(signature).expect("a text model")
    }
}

/// `WordPiece` as BERT has it: lower-cased words, letters and `##` letters, `[CLS] … [SEP]`. Like the file that comes
/// with `MiniLM`, it pads and cuts by itself unless it is told not to.
pub(super) fn bert() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let words = ["hello", "world", "query", "passage", "the", "##ing", ":", ",", ".", "!", "?"].map(str::to_owned);
    let letters = ('a'..='z').map(String::from).chain(('a'..='z').map(|letter| format!("##{letter}")));
    let names = special.map(str::to_owned).into_iter().chain(words).chain(letters);
    let vocab: BTreeMap<String, usize> = names.enumerate().map(|(id, name)| (name, id)).collect();
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": added(&special, 0),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special_piece("[CLS]", 0), piece("A", 0), special_piece("[SEP]", 0)],
            "pair": [
                special_piece("[CLS]", 0), piece("A", 0), special_piece("[SEP]", 0), piece("B", 1),
                special_piece("[SEP]", 1),
            ],
            "special_tokens": {"[CLS]": named("[CLS]", 2), "[SEP]": named("[SEP]", 3)},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    })
}

/// A unigram model as XLM-R has it: `<s> … </s>`, two `</s>` between texts, all of type 0.
pub(super) fn xlmr() -> Value {
    let special = ["<s>", "<pad>", "</s>", "<unk>"];
    let mut vocab: Vec<Value> = special.iter().map(|name| json!([name, 0.0])).collect();
    vocab.extend(["▁", "▁hello", "▁world", "▁query", ":"].iter().map(|piece| json!([piece, -2.0])));
    vocab.extend(('a'..='z').map(|letter| json!([letter.to_string(), -8.0])));
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&special, 0),
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special_piece("<s>", 0), piece("A", 0), special_piece("</s>", 0)],
            "pair": [
                special_piece("<s>", 0), piece("A", 0), special_piece("</s>", 0), special_piece("</s>", 0),
                piece("B", 0), special_piece("</s>", 0),
            ],
            "special_tokens": {"<s>": named("<s>", 0), "</s>": named("</s>", 2)},
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": false},
    })
}

/// Byte-level BPE as Qwen has it: every byte is a token, nothing is added; 256 is `he`, 257 the end of a text.
pub(super) fn qwen() -> Value {
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    let mut vocab: BTreeMap<String, usize> = letters.into_iter().map(String::from).zip(0..).collect();
    vocab.insert("he".into(), 256);
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&["<|endoftext|>"], 257),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
            "merges": [["h", "e"]],
        },
    })
}

fn added(names: &[&str], from: usize) -> Value {
    let token = |(id, name): (usize, &&str)| {
        json!({
            "id": from + id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    names.iter().enumerate().map(token).collect()
}

fn piece(id: &str, type_id: u32) -> Value {
    json!({"Sequence": {"id": id, "type_id": type_id}})
}

fn special_piece(id: &str, type_id: u32) -> Value {
    json!({"SpecialToken": {"id": id, "type_id": type_id}})
}

fn named(name: &str, id: u32) -> Value {
    json!({"id": name, "ids": [id], "tokens": [name]})
}

/// A tensor of free dimensions but for the last one, if that is given.
pub(super) fn spec(name: &str, dtype: DType, rank: usize, last: Option<usize>) -> TensorSpec {
    let dim = |i: usize| match last {
        Some(size) if i + 1 == rank => Dim::Fixed(size),
        _ => Dim::Free(None),
    };
    TensorSpec { name: name.into(), dtype, shape: (0..rank).map(dim).collect() }
}

/// `input_ids`, `attention_mask` and `token_type_ids`, and these outputs: name, rank, last dimension.
pub(super) fn graph(outputs: &[(&str, usize, Option<usize>)]) -> Signature {
    let inputs = ["input_ids", "attention_mask", "token_type_ids"].map(|name| spec(name, DType::I64, 2, None));
    let output =
        |(name, rank, last): &(&str, usize, Option<usize>)| OutputSpec::Tensor(spec(name, DType::F32, *rank, *last));
    Signature { inputs: inputs.into(), outputs: outputs.iter().map(output).collect() }
}

/// What `BertModel` exports.
pub(super) fn tokens(dim: usize) -> Signature {
    graph(&[("last_hidden_state", 3, Some(dim)), ("pooler_output", 2, Some(dim))])
}
