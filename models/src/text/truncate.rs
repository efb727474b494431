//! Cutting what is too long: how many tokens of each text stay, and how much of a long text is looked at at all.

use super::config::Direction;

/// A text is first looked at up to so many bytes for each token that stays; English has four or five.
const BYTES_A_TOKEN: usize = 8;
/// The least that is looked at.
const LEAST: usize = 1024;
/// By how much more is looked at when that was too little.
const GROWTH: usize = 4;
/// Near a cut, tokens may differ from those of the whole text. So many more than those that stay have to be there.
pub(super) const SLACK: usize = 64;

/// How many tokens of two texts stay when `room` is for both: the longer one is cut until they are of one length, then
/// both are, and the longer one has the last place of an odd room. `LongestFirst` of the crate tokenizers; but of texts
/// that were not looked at to their end, nobody knows which is longer, and the last place may be the other's.
pub(super) fn shares(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let half = room / 2;
    match (first <= half, second <= half) {
        (true, _) => (first, room - first),
        (false, true) => (room - second, second),
        (false, false) if first > second => (room - half, half),
        (false, false) => (half, room - half),
    }
}

/// Growing parts of `text` for finding the `room` tokens at the end that stays. The last one is the whole text, or of a
/// longer one the `most` bytes.
///
/// A long document costs what is kept of it, not what it has: splitting a megabyte takes a good part of a second.
pub(super) fn parts(text: &str, room: usize, most: usize, direction: Direction) -> impl Iterator<Item = &str> {
    let text = part(text, most, direction);
    let least = room.saturating_add(SLACK).saturating_mul(BYTES_A_TOKEN).max(LEAST);
    let lengths = std::iter::successors(Some(least), |length| Some(length.saturating_mul(GROWTH)));
    let shorter = lengths.take_while(|length| *length < text.len()).map(move |length| part(text, length, direction));
    shorter.chain([text])
}

/// At most `length` bytes of `text`, from the end that stays to the last white space: tokens seldom reach across it.
fn part(text: &str, length: usize, direction: Direction) -> &str {
    match direction {
        _ if text.len() <= length => text,
        Direction::Right => {
            let part = text.get(..text.floor_char_boundary(length)).unwrap_or(text);
            let space = part.rfind(char::is_whitespace).and_then(|space| part.get(..space));
            space.filter(|part| !part.trim().is_empty()).unwrap_or(part)
        }
        Direction::Left => {
            let from = text.ceil_char_boundary(text.len().saturating_sub(length));
            let part = text.get(from..).unwrap_or(text);
            let space = part.find(char::is_whitespace).and_then(|space| part.get(space..));
            space.filter(|part| !part.trim().is_empty()).unwrap_or(part)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        assert_eq!(shares(3, 4, 7), (3, 4));
        assert_eq!(shares(3, 9, 7), (3, 4));
        assert_eq!(shares(9, 2, 7), (5, 2));
        assert_eq!(shares(9, 10, 7), (3, 4));
        assert_eq!(shares(10, 9, 7), (4, 3));
        assert_eq!(shares(9, 9, 7), (3, 4));
        assert_eq!(shares(5, 5, 0), (0, 0));
    }

    #[test]
    fn parts_end_at_white_space() {
        let text = format!("{}{}", "word ".repeat(400), "x".repeat(9000));
        let lengths = |most, direction| parts(&text, 1, most, direction).map(str::len).collect::<Vec<_>>();
        assert_eq!(lengths(99_999, Direction::Right), [1019, 1999, text.len()]);
        assert_eq!(lengths(99_999, Direction::Left), [1024, 4096, text.len()]);
        assert_eq!(lengths(5000, Direction::Right), [1019, 1999]);
        assert_eq!(lengths(5000, Direction::Left), [1024, 4096, 5000]);
        assert_eq!(parts("a short", 1, 9, Direction::Left).collect::<Vec<_>>(), ["a short"]);
        assert_eq!(parts("a short", 1, 0, Direction::Left).collect::<Vec<_>>(), [""]);
    }

    proptest! {
        #[test]
        fn shares_fill_the_room(first in 0_usize..50, second in 0_usize..50, room in 0_usize..60) {
            let (one, two) = shares(first, second, room);
            prop_assert!(one <= first && two <= second);
            prop_assert_eq!(one + two, room.min(first + second));
        }

        #[test]
        fn parts_are_parts(text in "\\PC{0,3000}", room in 0_usize..20, most in 0_usize..9000, left in any::<bool>()) {
            let direction = if left { Direction::Left } else { Direction::Right };
            let parts: Vec<&str> = parts(&text, room, most, direction).collect();
            let inside = |part: &&str| if left { text.ends_with(*part) } else { text.starts_with(*part) };
            prop_assert!(parts.iter().all(inside) && !parts.is_empty());
            prop_assert!(parts.iter().all(|part| part.len() <= most) && parts.is_sorted_by_key(|part| part.len()));
            prop_assert!(most < text.len() || parts.last() == Some(&text.as_str()));
        }
    }
}
