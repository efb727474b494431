//! One field of an object, whatever stands beside it.

use std::ops::Range;

use jiter::Peek;

use super::cursor::Cursor;

/// A field of the object at `place` in `body`: a string's text, or the JSON of anything else. None where it is not there.
#[must_use]
pub fn field(body: &[u8], place: Range<usize>, name: &str) -> Option<String> {
    let mut cursor = Cursor::new(body, place);
    cursor.peek().ok()?;
    let mut key = cursor.object().ok()?;
    while let Some(found) = key {
        let peek = cursor.peek().ok()?;
        if found == name && peek == Peek::String {
            return cursor.string().ok();
        }
        let value = cursor.skip().ok()?;
        if found == name {
            return body.get(value).map(|value| String::from_utf8_lossy(value).trim().to_owned());
        }
        key = cursor.next_key().ok()?;
    }
    None
}
