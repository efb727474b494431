//! From texts to the tokens of rows, and back.
//!
//! One tokenizer is shared by all threads: encoding takes `&self`, and no lock is waited for. Nothing here starts
//! threads: the crate's own functions for many texts would, in rayon's global pool, and take the cores from the
//! reactors.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use tokenizers::Tokenizer;

use crate::backend::LoadError;
use crate::layout::TOKENIZER;

use super::config::{Direction, Task, TextConfig};
use super::error::TextError;
use super::files::Files;
use super::plain::Plain;
use super::prompt::{Prompt, Prompts, behind};
use super::row::{self, Rules};
use super::sequence::{EncodeOptions, Input, Sequence};
use super::special;

/// Splits texts into a model's tokens.
#[derive(Debug)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    /// How to split plain texts, if it is a tokenizer of BERT's kind.
    plain: Option<Plain>,
    prompts: Prompts,
    max_tokens: usize,
    truncation: Direction,
    /// Ids below this are tokens.
    vocabulary: u32,
}

impl TextTokenizer {
    /// Tries `tokenizer` out, and measures the prompts.
    ///
    /// # Errors
    /// When it cannot encode, or its special tokens leave no room for text.
    pub(super) fn new(tokenizer: Tokenizer, config: &TextConfig, files: &Files) -> Result<Self, LoadError> {
        let broken = |error: String| {
            let path = files.tokenizer.path().with_file_name(TOKENIZER);
            LoadError::Files(format!("{}: {error}", path.display()))
        };
        let pair = config.task == Task::Reranker;
        let special = special::added(&tokenizer, pair);
        if special >= config.max_tokens {
            return Err(broken(format!("{special} special tokens leave no room in {} tokens", config.max_tokens)));
        }
        let known = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id.saturating_add(1));
        // The graph may have more rows than the tokenizer has tokens.
        let declared = files.config.number("vocab_size")?.and_then(|size| u32::try_from(size).ok());
        let mut made = Self {
            plain: None,
            tokenizer,
            prompts: Prompts::new(config.default_prompt.clone()),
            max_tokens: config.max_tokens,
            truncation: config.truncation,
            vocabulary: declared.unwrap_or(known),
        };
        made.try_out(pair).map_err(broken)?;
        made.plain = Plain::of(&made.tokenizer);
        for (name, text) in &config.prompts {
            let skip = if config.include_prompt { Ok(0) } else { made.prompt_length(text) };
            let skip = skip.map_err(|error| broken(format!("prompt \"{name}\": {error}")))?;
            made.prompts.add(name, text, skip);
        }
        Ok(made)
    }

    /// A template can be broken in a way that only shows when it is used, by a panic.
    fn try_out(&self, pair: bool) -> Result<(), String> {
        let rules = self.rules(&EncodeOptions { truncate: true, ..EncodeOptions::default() });
        let encode = || row::encode(&self.tokenizer, "a", pair.then_some("a"), rules);
        match std::panic::catch_unwind(AssertUnwindSafe(encode)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("its post_processor is broken".into()),
        }
    }

    /// Encodes one input.
    ///
    /// A word takes 2 to 3 µs, a sentence 20 µs (`WordPiece`, 30,522 tokens), and less where it is ASCII or Latin. Of a
    /// text that may be cut, up to three times what stays is split, and no more. Whoever has long texts, or many, does
    /// this beside the reactors.
    ///
    /// # Errors
    /// When it is empty, too long, or its options do not fit the model.
    pub fn encode(&self, input: Input<'_>, options: &EncodeOptions<'_>) -> Result<Sequence, TextError> {
        let prompt = self.prompts.find(input, options.prompt)?;
        let rules = self.rules(options);
        match input {
            Input::Text("") | Input::Pair("", "") | Input::Ids([]) => Err(TextError::Empty),
            Input::Text(text) => self.text(text, prompt, rules),
            Input::Pair(first, second) => {
                let row = row::encode(&self.tokenizer, first, Some(second), rules)?;
                Sequence::of(&row.encoding, 0)
            }
            Input::Ids(ids) if prompt.is_some() => self.text(&self.decode(ids, true)?, prompt, rules),
            Input::Ids(ids) => {
                self.check(ids)?;
                cut_ids(ids, rules)
            }
        }
    }

    /// Turns tokens back into text.
    ///
    /// # Errors
    /// When there is none, or one that the vocabulary does not have.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        if ids.is_empty() {
            return Err(TextError::Empty);
        }
        self.check(ids)?;
        Ok(self.tokenizer.decode(ids, skip_special)?)
    }

    /// The tokenizer itself, and the most tokens of a row.
    pub(super) const fn parts(&self) -> (&Tokenizer, usize) {
        (&self.tokenizer, self.max_tokens)
    }

    /// `text` behind the prompt that is called for.
    pub(super) fn prompted<'t>(&self, text: &'t str, name: Option<&str>) -> Result<Cow<'t, str>, TextError> {
        Ok(behind(self.prompts.find(Input::Text(text), name)?, text))
    }

    fn text(&self, text: &str, prompt: Option<&Prompt>, rules: Rules) -> Result<Sequence, TextError> {
        let text = behind(prompt, text);
        let skip = prompt.map_or(0, |prompt| prompt.skip);
        // Cut from the left, the prompt goes first.
        let left = |cut| if rules.direction == Direction::Left { skip.saturating_sub(cut) } else { skip };
        if let Some(row) = self.plain.as_ref().and_then(|plain| plain.encode(&self.tokenizer, &text, rules)) {
            let (ids, cut) = row?;
            return Sequence::new(ids, &[], left(cut));
        }
        let row = row::encode(&self.tokenizer, &text, None, rules)?;
        Sequence::of(&row.encoding, left(row.cut))
    }

    /// How many tokens `prompt` takes at the beginning, the special ones before it among them.
    ///
    /// Source: `_get_prompt_length` of `sentence_transformers`, which encodes it alone and leaves a last special token
    /// out. Where the text's first token and the prompt's last would become one, it is off by one there as here.
    fn prompt_length(&self, prompt: &str) -> Result<usize, TextError> {
        let rules = self.rules(&EncodeOptions { truncate: true, ..EncodeOptions::default() });
        let row = row::encode(&self.tokenizer, prompt, None, rules)?;
        let ends_special = row.encoding.get_special_tokens_mask().last().is_some_and(|special| *special == 1);
        Ok(row.encoding.len() - usize::from(ends_special))
    }

    fn check(&self, ids: &[u32]) -> Result<(), TextError> {
        match ids.iter().find(|id| **id >= self.vocabulary) {
            Some(id) => Err(TextError::UnknownToken { id: *id, vocabulary: self.vocabulary }),
            None => Ok(()),
        }
    }

    fn rules(&self, options: &EncodeOptions<'_>) -> Rules {
        Rules {
            limit: options.max_tokens.map_or(self.max_tokens, |most| most.min(self.max_tokens)),
            special: options.special,
            truncate: options.truncate,
            direction: options.direction.unwrap_or(self.truncation),
        }
    }
}

fn cut_ids(ids: &[u32], rules: Rules) -> Result<Sequence, TextError> {
    let over = ids.len().saturating_sub(rules.limit);
    if over > 0 && !rules.truncate {
        return Err(TextError::TooLong { limit: rules.limit, given: ids.len() });
    }
    let kept = match rules.direction {
        Direction::Left => ids.get(over..),
        Direction::Right => ids.get(..ids.len() - over),
    };
    Sequence::new(kept.unwrap_or_default().to_vec(), &[], 0)
}
