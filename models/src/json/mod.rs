//! Requests and answers as JSON: numbers go straight into a tensor's buffer and come straight out of one.

mod cursor;
mod element;
mod envelope;
mod error;
mod nested;
mod oip;
mod read;
mod write;

pub use envelope::{Envelope, Form};
pub use error::BodyError;
pub use write::{write_answer, write_string};
