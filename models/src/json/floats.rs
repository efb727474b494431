//! Many floats at once: of an array of numbers, all but the first are read here, each by one call of lexical, which jiter
//! reads floats by, too. What is not plainly a number that fits is left to jiter, and to the messages made around it.

use lexical_parse_float::format::JSON;
use lexical_parse_float::{FromLexicalWithOptions as _, Options};

use super::cursor::Cursor;

/// Reads `, number` over and over, from behind a number of an array; `fit` makes a number an element, where it is one.
pub(super) fn read_on<T>(cursor: &mut Cursor<'_>, fit: impl Fn(f64) -> Option<T>, values: &mut Vec<T>) {
    cursor.pass(|text| {
        let mut read = 0;
        while let Some((value, end)) = next(text, read)
            && let Some(value) = fit(value)
        {
            values.push(value);
            read = end;
        }
        read
    });
}

/// The number behind the comma that follows at `at`, and where it ends.
fn next(text: &[u8], at: usize) -> Option<(f64, usize)> {
    const OPTIONS: &Options = &Options::new();
    let comma = skip_white(text, at);
    let start = skip_white(text, comma + 1);
    if text.get(comma) != Some(&b',') {
        return None;
    }
    let (value, length) = f64::from_lexical_partial_with_options::<JSON>(text.get(start..)?, OPTIONS).ok()?;
    Some((value, start + length))
}

/// The first place from `at` on that has no white space of JSON.
fn skip_white(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of `text`, and how many bytes that takes.
    fn read(text: &str) -> (Vec<f32>, usize) {
        let mut cursor = Cursor::new(text.as_bytes(), 0..text.len());
        let mut values = Vec::new();
        #[expect(clippy::cast_possible_truncation, reason = "as floats of a tensor are read")]
        read_on(&mut cursor, |value| Some(value as f32).filter(|value| value.is_finite()), &mut values);
        (values, cursor.offset())
    }

    #[test]
    fn numbers_behind_commas_are_read_and_nothing_else() {
        assert_eq!(read(", 2.5\t,\r\n-3e2]"), (vec![2.5, -300.0], 13));
        for text in
            ["", "]", ",", ", ]", "1", " 1", ",,1", ",[1]", ",null", ",\"1\"", ",NaN", ",-Infinity", ",+1", ",.5"]
        {
            assert_eq!(read(text), (vec![], 0), "{text}");
        }
        for text in [",1,01", ",1,1.", ",1,1e", ",1,-", ",1,1e39", ",1,1e999"] {
            assert_eq!(read(text), (vec![1.0], 2), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_what_jiter_reads(value: f64, bits: u32, exponent in -30..30_i32, digits in 0..20_usize) {
            let texts = [value.to_string(), format!("{value:e}"), f32::from_bits(bits).to_string(),
                format!("{value:.digits$e}"), format!("{bits}e{exponent}"), format!("{bits}.{bits:09}E{exponent:+}")];
            for text in texts.iter().filter(|text| text.bytes().last().is_some_and(|last| last.is_ascii_digit())) {
                let jiter = jiter::Jiter::new(text.as_bytes()).next_float().expect("a number");
                let behind = format!(",{text}]");
                prop_assert_eq!(next(behind.as_bytes(), 0), Some((jiter, text.len() + 1)), "{}", text);
                prop_assert_eq!(jiter.to_bits(), text.parse::<f64>().expect("a number").to_bits(), "{}", text);
            }
        }
    }
}
