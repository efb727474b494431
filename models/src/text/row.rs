//! Splitting one or two texts into the tokens of one row, cut to what the model takes.

use tokenizers::{Encoding, Tokenizer, TruncationDirection};

use super::config::Direction;
use super::error::TextError;
use super::special;
use super::truncate::{SLACK, parts, shares};

/// A text has no more characters than this for each token that the model takes: else it is refused without being split,
/// or what is beyond them is cut off first. As in text-embeddings-inference, but there only the end goes.
const CHARACTERS_A_TOKEN: usize = 250;

/// How a row is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The most tokens, special ones among them.
    pub(super) limit: usize,
    /// Adds special tokens.
    pub(super) special: bool,
    /// Cuts what is too long; else that is an error.
    pub(super) truncate: bool,
    /// Which end is cut off.
    pub(super) direction: Direction,
}

/// A row, and how many tokens of its first text were cut off.
pub(super) struct Row {
    pub(super) encoding: Encoding,
    pub(super) cut: usize,
}

/// Splits `first`, and `second` if there are two. They are cut before special tokens are added, so that these stay.
///
/// # Errors
/// When there are too many tokens and they may not be cut, or the tokenizer fails.
pub(super) fn encode(tokenizer: &Tokenizer, first: &str, second: Option<&str>, rules: Rules) -> Result<Row, TextError> {
    let special = if rules.special { special::added(tokenizer, second.is_some()) } else { 0 };
    let room = rules.limit.saturating_sub(special);
    let mut first = split(tokenizer, first, room, rules)?;
    let mut second = second.map(|text| split(tokenizer, text, room, rules)).transpose()?;
    let given = (first.len(), second.as_ref().map_or(0, Encoding::len));
    let kept = shares(given.0, given.1, room);
    if kept != given && !rules.truncate {
        return Err(TextError::TooLong { limit: rules.limit, given: given.0 + given.1 + special });
    }
    cut(&mut first, kept.0, rules.direction);
    if let Some(second) = &mut second {
        cut(second, kept.1, rules.direction);
        // Split alone it is taken for a first text. Templates say which it is, but there need not be one.
        second.set_type_ids(vec![1; second.len()]);
    }
    let encoding = tokenizer.post_process(first, second, rules.special)?;
    Ok(Row { encoding, cut: given.0 - kept.0 })
}

/// The tokens of `text`; of one that will be cut, at least those that may stay.
fn split(tokenizer: &Tokenizer, text: &str, room: usize, rules: Rules) -> Result<Encoding, TextError> {
    if !rules.truncate {
        check_characters(text, rules.limit)?;
        return Ok(tokenizer.encode_fast(text, false)?);
    }
    let most = most_characters(rules.limit);
    let mut encoding = Encoding::default();
    for part in parts(text, room, most, rules.direction) {
        // Without offsets, which only [`super::detail`] shows.
        encoding = tokenizer.encode_fast(part, false)?;
        if encoding.len() >= room.saturating_add(SLACK) {
            break;
        }
    }
    Ok(encoding)
}

/// The most characters that a text of `limit` tokens may have.
pub(super) const fn most_characters(limit: usize) -> usize {
    limit.saturating_mul(CHARACTERS_A_TOKEN)
}

/// Refuses texts that cannot be anything but too long.
///
/// # Errors
/// When there are more characters than `limit` tokens ever have.
pub(super) fn check_characters(text: &str, limit: usize) -> Result<(), TextError> {
    let limit = most_characters(limit);
    // There are at least as many bytes as characters.
    if text.len() <= limit {
        return Ok(());
    }
    let given = text.chars().count();
    if given > limit { Err(TextError::TooManyCharacters { limit, given }) } else { Ok(()) }
}

fn cut(encoding: &mut Encoding, kept: usize, direction: Direction) {
    let direction = match direction {
        Direction::Left => TruncationDirection::Left,
        Direction::Right => TruncationDirection::Right,
    };
    encoding.truncate(kept, 0, direction);
    // What was cut off would go through the template too; of two texts, each piece with each.
    encoding.take_overflowing();
}
