//! One value of a request, which knows where it stands.

use std::fmt;

use jiter::Peek;
use perch_models::json::{Cursor, type_name};

use super::{MOST_INPUTS, Result};
use crate::error::{ApiError, Kind};

/// Where a value stands, as messages name it: `inputs[3]`.
#[derive(Clone, Copy)]
pub enum At<'p> {
    /// The whole.
    Body,
    /// A field of an object.
    Field(&'p Self, &'p str),
    /// An element of an array.
    Item(&'p Self, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("the body"),
            Self::Field(Self::Body, name) => f.write_str(name),
            Self::Field(at, name) => write!(f, "{at}.{name}"),
            Self::Item(at, i) => write!(f, "{at}[{i}]"),
        }
    }
}

/// A value that is not read yet. Every one has to be read or [skipped](Value::skip).
pub struct Value<'c, 'j> {
    cursor: &'c mut Cursor<'j>,
    /// Its kind.
    pub peek: Peek,
    at: At<'c>,
}

/// Reads a whole body, which is an object, field by field.
pub fn body(body: &[u8], field: impl FnMut(&str, Value<'_, '_>) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor::new(body, 0..body.len());
    let peek = cursor.peek()?;
    Value { cursor: &mut cursor, peek, at: At::Body }.object(field)?;
    Ok(cursor.finish()?)
}

impl Value<'_, '_> {
    /// The error that something else stands here.
    pub fn expected(&self, what: &str) -> ApiError {
        unexpected(self.at, what, type_name(self.peek))
    }

    /// Reads nothing of it.
    pub fn skip(self) -> Result<()> {
        self.cursor.skip()?;
        Ok(())
    }

    /// A string.
    pub fn string(self) -> Result<String> {
        if self.peek == Peek::String { Ok(self.cursor.string()?) } else { Err(self.expected("a string")) }
    }

    /// A string, or null.
    pub fn optional_string(self) -> Result<Option<String>> {
        match self.peek {
            Peek::Null => self.skip().map(|()| None),
            Peek::String => self.string().map(Some),
            _ => Err(self.expected("a string or null")),
        }
    }

    /// One of several words, or null.
    pub fn word<T>(self, what: &str, known: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let at = self.at;
        let Some(text) = self.optional_string()? else { return Ok(None) };
        let unknown = || unexpected(at, what, &format!("\"{}\"", shortened(&text)));
        known(&text).ok_or_else(unknown).map(Some)
    }

    /// A boolean; null means what is meant when the field is left out.
    pub fn flag(self, default: bool) -> Result<bool> {
        match self.peek {
            Peek::Null => self.skip().map(|()| default),
            Peek::True | Peek::False => Ok(self.cursor.bool(self.peek)?),
            _ => Err(self.expected("a boolean")),
        }
    }

    /// A whole number from 0, or null.
    pub fn count(self) -> Result<Option<usize>> {
        if self.peek == Peek::Null {
            return self.skip().map(|()| None);
        }
        self.whole("a whole number").map(Some)
    }

    /// A token.
    pub fn id(self) -> Result<u32> {
        self.whole("a token id")
    }

    fn whole<T: std::str::FromStr>(self, what: &str) -> Result<T> {
        if !self.peek.is_num() {
            return Err(self.expected(what));
        }
        let text = self.cursor.number(self.peek)?;
        text.parse().map_err(|_| unexpected(self.at, what, &shortened(text)))
    }

    /// An array, element by element.
    pub fn array(self, what: &str, mut item: impl FnMut(Value<'_, '_>) -> Result<()>) -> Result<()> {
        if self.peek != Peek::Array {
            return Err(self.expected(what));
        }
        let Self { cursor, at, .. } = self;
        let mut next = cursor.array()?;
        let mut i = 0;
        while let Some(peek) = next {
            item(Value { cursor: &mut *cursor, peek, at: At::Item(&at, i) })?;
            next = cursor.array_step()?;
            i += 1;
        }
        Ok(())
    }

    /// An array of at most [`MOST_INPUTS`] and at least one element, each read by `read`.
    pub fn list<T>(self, what: &str, read: impl FnMut(Value<'_, '_>) -> Result<T>) -> Result<Vec<T>> {
        self.list_of(what, MOST_INPUTS, read)
    }

    fn list_of<T>(self, what: &str, most: usize, mut read: impl FnMut(Value<'_, '_>) -> Result<T>) -> Result<Vec<T>> {
        let place = self.at.to_string();
        let mut list = Vec::new();
        self.array(what, |item| {
            if list.len() == most {
                return Err(too_many(&place, most));
            }
            list.push(read(item)?);
            Ok(())
        })?;
        if list.is_empty() { Err(empty(&place)) } else { Ok(list) }
    }

    /// At most [`MOST_INPUTS`] and at least one string.
    pub fn strings(self, what: &str) -> Result<Vec<String>> {
        self.strings_of(what, MOST_INPUTS)
    }

    /// At most so many, and at least one string.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general in its lifetimes")]
    pub fn strings_of(self, what: &str, most: usize) -> Result<Vec<String>> {
        self.list_of(what, most, |item| item.string())
    }

    /// An object, field by field.
    pub fn object(self, mut field: impl FnMut(&str, Value<'_, '_>) -> Result<()>) -> Result<()> {
        if self.peek != Peek::Object {
            return Err(self.expected("an object"));
        }
        let Self { cursor, at, .. } = self;
        let mut key = cursor.object()?;
        while let Some(name) = key {
            let peek = cursor.peek()?;
            field(&name, Value { cursor: &mut *cursor, peek, at: At::Field(&at, &name) })?;
            key = cursor.next_key()?;
        }
        Ok(())
    }

    /// Where it stands.
    pub fn place(&self) -> String {
        self.at.to_string()
    }
}

fn unexpected(at: At<'_>, what: &str, got: &str) -> ApiError {
    ApiError::new(Kind::InvalidInput, format!("{at}: expected {what}, got {got}"))
}

/// What a client sent does not belong whole in a message.
fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}

/// There are no texts, worded as TEI words it.
pub fn empty(place: &str) -> ApiError {
    ApiError::new(Kind::EmptyInput, format!("`{place}` cannot be empty"))
}

/// There are more than `most`.
pub fn too_many(place: &str, most: usize) -> ApiError {
    ApiError::new(Kind::TooManyInputs, format!("{place}: expected at most {most} texts, got more"))
}

/// A field that has to be there.
pub fn missing(field: &str) -> ApiError {
    ApiError::new(Kind::InvalidInput, format!("{field}: expected it, but it is missing"))
}
