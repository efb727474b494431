//! What can go wrong with a store.

use thiserror::Error;

/// A store that did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of trouble it is, for who has to decide what to do about it.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
}

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It cannot be reached, read or written just now. Trying again may help.
    Unavailable,
    /// Another process has it.
    InUse,
    /// It was written by another version of perch, or by something else.
    Incompatible,
    /// It is damaged, or no database at all.
    Corrupt,
    /// The caller asks for what cannot be stored.
    Invalid,
}

impl StoreError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// It cannot be reached just now.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }
}
