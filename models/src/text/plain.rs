//! Splitting texts in Latin letters as BERT's tokenizer does, without its machinery.
//!
//! The crate tokenizers keeps track of where each character of a text went, through every step, to be able to show it.
//! Nobody looks at that when a text is embedded, and it is two thirds of the work. For printable ASCII and Latin letters the
//! steps of a `BertNormalizer` and a `BertPreTokenizer` come to a table of letters, white space and punctuation. So such
//! texts are split here, and looked up in the crate's own vocabulary; any other text, and any other tokenizer, goes through
//! the crate. Both have to say the same of every text: a property test compares them.

use std::borrow::Cow;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    AddedToken, Model as _, ModelWrapper, NormalizerWrapper, PostProcessor as _, PreTokenizerWrapper, Tokenizer,
};

use super::config::Direction;
use super::error::TextError;
use super::letters::Letters;
use super::row::{self, Rules};

/// Longer texts are left to the crate, and to whoever cuts them before they are split.
const LONGEST: usize = 8 << 10;
/// What it is tried out with.
const TRIED: &str = "The 2 readers weren't in; e-mail zzyzx@example.com (or CALL): #1! Ænglisch naïve Łódź, ÉTÉ";

/// How a tokenizer treats plain texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    lowercase: bool,
    /// Bytes that a text may have to be split here.
    takes: [bool; 256],
    /// Letters that it may have besides.
    letters: Letters,
    /// Special tokens before and after a text.
    around: (Vec<u32>, Vec<u32>),
}

impl Plain {
    /// What there is to know of `tokenizer`, if it is of BERT's kind.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = tokenizer.get_normalizer() else { return None };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = tokenizer.get_pre_tokenizer() else { return None };
        let takes = takes(tokenizer.get_added_tokens_decoder().values())?;
        let letters = Letters::of(*normalizer, &takes);
        let plain = Self { lowercase: normalizer.lowercase, takes, letters, around: around(tokenizer)? };
        plain.agrees(tokenizer).then_some(plain)
    }

    /// The tokens of a row with `text`, and how many tokens of the text were cut off: what [`row::encode`] gives. None where
    /// that has to be asked.
    ///
    /// # Errors
    /// When there are too many tokens and they may not be cut.
    pub(super) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        rules: Rules,
    ) -> Option<Result<(Vec<u32>, usize), TextError>> {
        // A text of more characters than these is refused, or cut first.
        let longest = LONGEST.min(row::most_characters(rules.limit));
        if text.len() > longest {
            return None;
        }
        let text = self.normal(text)?;
        let words = words(tokenizer)?;
        let (before, after) = if rules.special { (&*self.around.0, &*self.around.1) } else { (&[][..], &[][..]) };
        let mut ids = Vec::with_capacity(before.len() + text.len() / 4 + 1 + after.len());
        ids.extend_from_slice(before);
        split(words, &text, &mut ids)?;
        let (special, given) = (before.len() + after.len(), ids.len() - before.len());
        let cut = given - given.min(rules.limit.saturating_sub(special));
        if cut > 0 && !rules.truncate {
            return Some(Err(TextError::TooLong { limit: rules.limit, given: given + special }));
        }
        match rules.direction {
            Direction::Left => drop(ids.drain(before.len()..before.len() + cut)),
            Direction::Right => ids.truncate(before.len() + given - cut),
        }
        ids.extend_from_slice(after);
        Some(Ok((ids, cut)))
    }

    /// What the normaliser makes of `text`; none where that has to be asked.
    fn normal<'t>(&self, text: &'t str) -> Option<Cow<'t, str>> {
        let takes = |byte: u8| self.takes[usize::from(byte)];
        if text.bytes().all(takes) {
            return Some(if self.lowercase { text.to_ascii_lowercase().into() } else { text.into() });
        }
        let mut normal = String::with_capacity(text.len());
        for letter in text.chars() {
            match u8::try_from(letter) {
                Ok(byte) if takes(byte) => {
                    normal.push(if self.lowercase { letter.to_ascii_lowercase() } else { letter });
                }
                _ => normal.push_str(self.letters.get(letter)?),
            }
        }
        Some(normal.into())
    }

    /// Whether it splits a text as the tokenizer does.
    fn agrees(&self, tokenizer: &Tokenizer) -> bool {
        let rules = Rules { limit: usize::MAX, special: true, truncate: false, direction: Direction::Right };
        let tried: String =
            TRIED.chars().filter(|letter| self.normal(letter.encode_utf8(&mut [0; 4])).is_some()).collect();
        let theirs = row::encode(tokenizer, &tried, None, rules);
        let ours = self.encode(tokenizer, &tried, rules);
        matches!((theirs, ours), (Ok(theirs), Some(Ok((ours, 0)))) if theirs.encoding.get_ids() == ours)
    }
}

/// Adds the tokens of `text`, which is normal; none where the vocabulary lacks even what stands for unknown words.
fn split(words: &WordPiece, text: &str, ids: &mut Vec<u32>) -> Option<()> {
    for word in text.split_ascii_whitespace() {
        for part in word.split_inclusive(is_mark) {
            // A mark ends the part that it is in, and is a word of its own.
            let (word, mark) = part.split_at(part.len() - usize::from(part.ends_with(is_mark)));
            for word in [word, mark].into_iter().filter(|word| !word.is_empty()) {
                match words.token_to_id(word).filter(|_| word.len() <= words.max_input_chars_per_word) {
                    Some(id) => ids.push(id),
                    None => ids.extend(words.tokenize(word).ok()?.iter().map(|token| token.id)),
                }
            }
        }
    }
    Some(())
}

/// What BERT splits off words, of ASCII and letters.
const fn is_mark(character: char) -> bool {
    character.is_ascii_punctuation()
}

fn words(tokenizer: &Tokenizer) -> Option<&WordPiece> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(words) => Some(words),
        _ => None,
    }
}

/// Printable ASCII and white space, but for what an added token may begin with: those are looked for before a text is split
/// into words. None where one begins with something else, which normalising may turn into anything.
fn takes<'t>(added: impl Iterator<Item = &'t AddedToken>) -> Option<[bool; 256]> {
    let mut takes = [false; 256];
    for byte in (b' '..=b'~').chain(*b"\t\n\r") {
        takes[usize::from(byte)] = true;
    }
    for token in added {
        let first = *token.content.as_bytes().first().filter(|byte| byte.is_ascii_graphic())?;
        for byte in [first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
            takes[usize::from(byte)] = false;
        }
    }
    Some(takes)
}

/// The special tokens around a text; none where they are not simply around it, or are another text's.
fn around(tokenizer: &Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let text = tokenizer.encode_fast("a", false).ok()?;
    let ids = text.get_ids().to_vec();
    let row = tokenizer.post_process(text, None, true).ok()?;
    let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
    if ids.is_empty() || row.len() != ids.len() + added || row.get_type_ids().iter().any(|id| *id != 0) {
        return None;
    }
    let place = row.get_ids().windows(ids.len()).position(|window| window == ids)?;
    let (before, rest) = row.get_ids().split_at(place);
    Some((before.to_vec(), rest.get(ids.len()..)?.to_vec()))
}
