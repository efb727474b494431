//! Whether two values of an answer are the same.

use jiter::JsonValue;

/// The longest piece of a value that a message repeats, in characters.
const SHOWN: usize = 64;

/// How numbers are compared. Texts, truths and what is in a list or an object always are the same or are not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// So far away, or so much of what is expected, whichever is more.
    Within(f64),
    Same,
    /// The same as single-precision floats, which may be written with more digits than they have.
    SameSingle,
}

impl Rule {
    /// The first two pieces that are not the same, as a message shows them.
    pub fn difference(self, expected: &JsonValue<'_>, got: &JsonValue<'_>) -> Option<(String, String)> {
        match (expected, got) {
            (JsonValue::Array(a), JsonValue::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b.iter()).find_map(|(expected, got)| self.difference(expected, got))
            }
            (JsonValue::Object(a), JsonValue::Object(b)) if a.len() == b.len() => {
                a.iter().find_map(|(key, expected)| match b.iter().find(|(k, _)| k == key) {
                    Some((_, got)) => self.difference(expected, got),
                    None => Some((format!("\"{key}\""), "none of that name".to_owned())),
                })
            }
            _ if self.is_same(expected, got) => None,
            _ => Some((short(expected), short(got))),
        }
    }

    fn is_same(self, expected: &JsonValue<'_>, got: &JsonValue<'_>) -> bool {
        if let (JsonValue::Int(a), JsonValue::Int(b)) = (expected, got) {
            return a == b;
        }
        match (number(expected), number(got)) {
            (Some(a), Some(b)) => self.is_near(a, b),
            (None, None) => expected == got,
            _ => false,
        }
    }

    #[expect(clippy::float_cmp, reason = "the same is the same")]
    fn is_near(self, expected: f64, got: f64) -> bool {
        if expected.is_nan() || got.is_nan() {
            return expected.is_nan() && got.is_nan();
        }
        if expected.is_infinite() || got.is_infinite() {
            return expected == got;
        }
        match self {
            Self::Within(tolerance) => (expected - got).abs() <= tolerance.max(tolerance * expected.abs()),
            Self::Same => expected == got,
            Self::SameSingle => single(expected) == single(got),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
const fn single(number: f64) -> f32 {
    number as f32
}

#[expect(clippy::cast_precision_loss, reason = "beside a float; two integers are compared as such")]
const fn number(value: &JsonValue<'_>) -> Option<f64> {
    match value {
        JsonValue::Int(number) => Some(*number as f64),
        JsonValue::Float(number) => Some(*number),
        _ => None,
    }
}

/// A value as a message repeats it.
pub(super) fn short(value: &JsonValue<'_>) -> String {
    match value {
        JsonValue::Null => "null".to_owned(),
        JsonValue::Bool(on) => on.to_string(),
        JsonValue::Int(number) => number.to_string(),
        JsonValue::Float(number) => number.to_string(),
        JsonValue::Str(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        JsonValue::Array(items) => format!("a list of {}", items.len()),
        JsonValue::Object(entries) => format!("an object of {}", entries.len()),
    }
}
