//! The letters of Latin scripts beyond ASCII, as a normaliser leaves them.

use tokenizers::normalizers::BertNormalizer;
use tokenizers::{NormalizedString, Normalizer as _};

/// À to ɏ: the languages of Europe, Turkish, Vietnamese in part.
const FIRST: char = '\u{c0}';
const LAST: char = '\u{24f}';

/// What each letter becomes. BERT's normaliser looks at one character at a time, and no letter of these joins another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letters(Vec<Option<Box<str>>>);

impl Letters {
    /// Of those that become letters again, in ASCII only such as `takes` has.
    pub(super) fn of(normalizer: BertNormalizer, takes: &[bool; 256]) -> Self {
        let fits = |letter: char| match u8::try_from(letter) {
            Ok(byte) if byte.is_ascii() => byte.is_ascii_alphabetic() && takes[usize::from(byte)],
            _ => letter.is_alphabetic(),
        };
        let normal = |letter: char| {
            let mut text = NormalizedString::from(letter.to_string());
            normalizer.normalize(&mut text).ok()?;
            (!text.get().is_empty() && text.get().chars().all(fits)).then(|| text.get().into())
        };
        Self((FIRST..=LAST).map(normal).collect())
    }

    /// What this letter becomes, if it is one of them.
    pub(super) fn get(&self, letter: char) -> Option<&str> {
        let place = u32::from(letter).checked_sub(u32::from(FIRST))?;
        self.0.get(usize::try_from(place).ok()?)?.as_deref()
    }
}
