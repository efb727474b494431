//! A pull parser over one part of a body that reports positions in the whole body.

use std::ops::Range;

use jiter::{Jiter, JiterError, JiterErrorType, JsonError, Peek};

use super::error::BodyError;

/// What reading gives, or what is wrong with the body.
pub type Result<T> = std::result::Result<T, BodyError>;

/// Reads `body[start..]`; NaN, Infinity and -Infinity are tokens, as Python's json writes them.
pub struct Cursor<'j> {
    jiter: Jiter<'j>,
    body: &'j [u8],
    /// Where jiter's part of the body starts, and where it ends.
    part: Range<usize>,
}

impl<'j> Cursor<'j> {
    /// Reads the part `span` of `body`.
    #[must_use]
    pub fn new(body: &'j [u8], span: Range<usize>) -> Self {
        let part = body.get(span.clone()).unwrap_or_default();
        Self { jiter: Jiter::new(part).with_allow_inf_nan(), body, part: span }
    }

    /// Offset in the whole body.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.part.start + self.jiter.current_index()
    }

    /// The text from `start`, an offset in the whole body, to here.
    #[must_use]
    pub fn text_since(&self, start: usize) -> &'j str {
        std::str::from_utf8(self.body.get(start..self.offset()).unwrap_or_default()).unwrap_or_default()
    }

    /// Hands `read` the text from here to the end of the part, and goes on after the bytes that it says to have read.
    pub(super) fn pass(&mut self, read: impl FnOnce(&'j [u8]) -> usize) {
        let here = self.offset();
        let read = read(self.body.get(here..self.part.end).unwrap_or_default());
        if read > 0 {
            *self = Self::new(self.body, here + read..self.part.end);
        }
    }

    fn fail(&self, error: &JiterError) -> BodyError {
        let index = self.part.start + error.index;
        match &error.error_type {
            JiterErrorType::JsonError(kind) => {
                let at = JsonError { error_type: kind.clone(), index }.get_position(self.body);
                BodyError::Syntax { line: at.line, column: at.column, message: kind.to_string() }
            }
            JiterErrorType::WrongType { expected, actual } => {
                BodyError::Invalid(format!("expected {expected}, got {actual} at byte {index}"))
            }
        }
    }

    /// The kind of the next value, which stays where it is.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn peek(&mut self) -> Result<Peek> {
        self.jiter.peek().map_err(|error| self.fail(&error))
    }

    /// The first element of an array whose `[` was peeked, or `None` when it is empty.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn array(&mut self) -> Result<Option<Peek>> {
        self.jiter.known_array().map_err(|error| self.fail(&error))
    }

    /// The next element of that array, or `None` at its end.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn array_step(&mut self) -> Result<Option<Peek>> {
        self.jiter.array_step().map_err(|error| self.fail(&error))
    }

    /// The first key of an object whose `{` was peeked, or `None` when it is empty.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn object(&mut self) -> Result<Option<String>> {
        let key = self.jiter.known_object().map(|key| key.map(str::to_owned));
        key.map_err(|error| self.fail(&error))
    }

    /// The next key of that object, or `None` at its end.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn next_key(&mut self) -> Result<Option<String>> {
        let key = self.jiter.next_key().map(|key| key.map(str::to_owned));
        key.map_err(|error| self.fail(&error))
    }

    /// Skips one value and says where it stood.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn skip(&mut self) -> Result<Range<usize>> {
        let start = self.offset();
        self.jiter.next_skip().map_err(|error| self.fail(&error))?;
        Ok(start..self.offset())
    }

    /// A number that was peeked, as a float.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn float(&mut self, peek: Peek) -> Result<f64> {
        self.jiter.known_float(peek).map_err(|error| self.fail(&error))
    }

    /// The text of a number that was peeked.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn number(&mut self, peek: Peek) -> Result<&'j str> {
        let start = self.offset();
        if let Err(error) = self.jiter.known_number_bytes(peek) {
            return Err(self.fail(&error));
        }
        Ok(self.text_since(start))
    }

    /// A boolean that was peeked.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn bool(&mut self, peek: Peek) -> Result<bool> {
        self.jiter.known_bool(peek).map_err(|error| self.fail(&error))
    }

    /// A string that was peeked.
    ///
    /// # Errors
    /// Malformed JSON.
    pub fn string(&mut self) -> Result<String> {
        let text = self.jiter.known_str().map(str::to_owned);
        text.map_err(|error| self.fail(&error))
    }

    /// Checks that nothing but white space follows.
    ///
    /// # Errors
    /// When something does.
    pub fn finish(&mut self) -> Result<()> {
        self.jiter.finish().map_err(|error| self.fail(&error))
    }
}

/// The JSON type that starts with `peek`, as messages call it.
#[must_use]
pub const fn type_name(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "a boolean",
        Peek::String => "a string",
        Peek::Array => "an array",
        Peek::Object => "an object",
        Peek::NaN => "NaN",
        Peek::Infinity => "Infinity",
        _ => "a number",
    }
}
