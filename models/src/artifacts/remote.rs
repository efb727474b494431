//! What a download reads from: a folder of files somewhere else.

use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use thiserror::Error;

use crate::registry::BoxFuture;

/// A folder of files somewhere else.
pub trait Remote: Send + Sync {
    /// The URI of the folder, without secrets.
    fn uri(&self) -> &str;

    /// Lists all files in it, with those in its subfolders.
    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, RemoteError>>;

    /// Reads a file from byte `from` on, or from an earlier one where the store can do no better.
    fn read<'r>(&'r self, file: &'r RemoteFile, from: u64) -> BoxFuture<'r, Result<Reading, RemoteError>>;
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the folder, with `/`; not checked yet.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Changes with its content, where the store knows it.
    pub etag: Option<String>,
}

/// A file that is being read.
pub struct Reading {
    /// The first byte that comes.
    pub from: u64,
    /// The bytes.
    pub chunks: Chunks,
}

/// Bytes as they come.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, RemoteError>> + Send>>;

/// Why a remote folder cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RemoteError {
    /// It may work the next time: the network, a server that fails.
    #[error("{0}")]
    Transient(String),
    /// It will not work until somebody changes something: no such file, access denied.
    #[error("{0}")]
    Permanent(String),
    /// The file is not the one that was listed any more.
    #[error("{0} has changed while it was downloaded")]
    Changed(String),
}
