//! Requests and answers as JSON: numbers go straight into a tensor's buffer and come straight out of one.

mod cursor;
mod decimals;
mod element;
mod envelope;
mod error;
mod field;
mod floats;
mod nested;
mod oip;
mod read;
mod write;

pub use cursor::{Cursor, type_name};
pub use envelope::{Envelope, Form};
pub use error::BodyError;
pub use field::field;
pub use write::{write_answer, write_floats, write_string};
