//! Brings the files of a remote folder into a staging folder: resumed, hashed as they come, and never more than was
//! announced.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use thiserror::Error;
use tokio::sync::mpsc;

use super::manifest::Entry;
use super::remote::{Reading, Remote, RemoteError, RemoteFile};
use super::staging::{Growing, Staging};
use crate::backend::LoadError;
use crate::layout::{Layout, MLMODEL};
use crate::registry::{Progress, inside};

/// Files of one artifact that are downloaded at the same time.
const AT_ONCE: usize = 4;
/// More files are no model.
const MAX_FILES: usize = 10_000;
/// A connection that brings nothing for so long is cut.
const STALL: Duration = Duration::from_secs(30);
/// Cuts in a row, none of which brought a byte, before it is given up.
const CUTS: u32 = 5;
/// The first pause after a cut; each later one is twice as long, up to [`CUTS`].
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 200 });
/// Chunks between the network and the disk.
const QUEUE: usize = 16;

/// A download that failed. What is here already is kept, apart from a full disk.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The other side.
    #[error("{uri}: {error}")]
    Remote {
        /// The folder or file.
        uri: String,
        /// What went wrong.
        error: RemoteError,
    },
    /// This side.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// It is nothing that could be served.
    #[error(transparent)]
    Unusable(#[from] LoadError),
}

impl DownloadError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Disk { error, .. } if matches!(error.kind(), StorageFull | QuotaExceeded))
    }
}

/// The files of a remote folder, each with its path below the local one, the description first.
///
/// # Errors
/// When it cannot be listed, is empty, or names files that would lead out of their folder.
pub async fn list(remote: &dyn Remote) -> Result<Vec<(PathBuf, RemoteFile)>, DownloadError> {
    let wrong = |message: String| failed(remote.uri(), RemoteError::Permanent(message));
    let listed = remote.list().await.map_err(|error| failed(remote.uri(), error))?;
    if listed.is_empty() {
        return Err(wrong("no files there".to_owned()));
    }
    if listed.len() > MAX_FILES {
        return Err(wrong(format!("{} files are no model", listed.len())));
    }
    let located = |file: RemoteFile| inside(&file.path).map(|path| (path, file)).map_err(wrong);
    let mut files: Vec<(PathBuf, RemoteFile)> = listed.into_iter().map(located).collect::<Result<_, _>>()?;
    let paths: BTreeSet<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    if paths.len() != files.len() {
        return Err(wrong("two of its files have the same path".to_owned()));
    }
    files.sort_by_key(|(path, _)| (path != Path::new(MLMODEL), path.clone()));
    Ok(files)
}

/// Downloads `files`, as [`list`] gave them and `staging` has taken them up, and gives their hashes. `present` is what
/// [`Staging::resume`] said.
///
/// An artifact whose description says that it cannot be served is refused before the rest of it is downloaded.
///
/// # Errors
/// See [`DownloadError`].
pub async fn download(
    remote: &dyn Remote,
    files: &[(PathBuf, RemoteFile)],
    staging: &Staging,
    present: u64,
    progress: &dyn Progress,
) -> Result<Vec<Entry>, DownloadError> {
    progress.begin(files.iter().map(|(_, file)| file.bytes).sum(), present);
    let mut entries = Vec::with_capacity(files.len());
    let described = usize::from(files.first().is_some_and(|(path, _)| path == Path::new(MLMODEL)));
    for (path, file) in &files[..described] {
        let local = staging.files().join(path);
        entries.push(one(remote, file, local.clone(), progress).await?);
        let path = local.clone();
        let text = blocking(move || std::fs::read(path)).await;
        let text = text.map_err(|error| DownloadError::Disk { path: local, error })?;
        Layout::parse(&text)?;
    }
    let mut rest = Vec::new();
    for (path, file) in &files[described..] {
        rest.push(one(remote, file, staging.files().join(path), progress));
    }
    let rest: Vec<Entry> = futures_util::stream::iter(rest).buffer_unordered(AT_ONCE).try_collect().await?;
    entries.extend(rest);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    progress.end();
    Ok(entries)
}

/// Downloads one file, over cuts.
async fn one(
    remote: &dyn Remote,
    file: &RemoteFile,
    local: PathBuf,
    progress: &dyn Progress,
) -> Result<Entry, DownloadError> {
    let uri = || format!("{}/{}", remote.uri(), file.path);
    let disk = |error| DownloadError::Disk { path: local.clone(), error };
    let (mut writer, mut have) = Writer::open(local.clone()).await.map_err(disk)?;
    let mut cuts = 0;
    while have < file.bytes {
        let before = have;
        let read = tokio::time::timeout(STALL, remote.read(file, have)).await;
        let result = match read.unwrap_or_else(|_| Err(stalled())) {
            Ok(reading) => copy(reading, file, &mut have, &mut writer, progress).await,
            Err(error) => Err(Cut::Remote(error)),
        };
        match result {
            Ok(()) => {}
            Err(Cut::Disk) => return Err(disk(writer.failure().await)),
            Err(Cut::Remote(RemoteError::Transient(message))) => {
                cuts = if have > before { 0 } else { cuts + 1 };
                if cuts >= CUTS {
                    return Err(failed(&uri(), RemoteError::Transient(message)));
                }
                tracing::warn!(file = uri(), have, bytes = file.bytes, error = message, "a download was cut, resuming");
                let wait = (PAUSE * (1 << cuts)).mul_f64(0.5 + fastrand::f64());
                tokio::time::sleep(wait).await;
            }
            Err(Cut::Remote(error)) => return Err(failed(&uri(), error)),
        }
    }
    let sha256 = writer.finish().await.map_err(disk)?;
    Ok(Entry { path: file.path.clone(), bytes: file.bytes, sha256, etag: file.etag.clone() })
}

enum Cut {
    Remote(RemoteError),
    /// The writer has failed, and knows why.
    Disk,
}

async fn copy(
    reading: Reading,
    file: &RemoteFile,
    have: &mut u64,
    writer: &mut Writer,
    progress: &dyn Progress,
) -> Result<(), Cut> {
    let Reading { from, mut chunks } = reading;
    if from != *have {
        if from != 0 {
            let message = format!("asked for byte {have} and later, got byte {from} and later");
            return Err(Cut::Remote(RemoteError::Permanent(message)));
        }
        // A store without ranges: all of it again.
        writer.send(Write::Clear).await?;
        progress.discard(*have);
        *have = 0;
    }
    while *have < file.bytes {
        let next = tokio::time::timeout(STALL, chunks.next()).await.map_err(|_| Cut::Remote(stalled()))?;
        let Some(chunk) = next else {
            let message = format!("it ended after {have} of {} bytes", file.bytes);
            return Err(Cut::Remote(RemoteError::Transient(message)));
        };
        let chunk = chunk.map_err(Cut::Remote)?;
        let bytes = chunk.len() as u64;
        if *have + bytes > file.bytes {
            let message = format!("it has more than the {} bytes that were announced", file.bytes);
            return Err(Cut::Remote(RemoteError::Permanent(message)));
        }
        writer.send(Write::Append(chunk)).await?;
        *have += bytes;
        progress.advance(bytes);
    }
    Ok(())
}

fn stalled() -> RemoteError {
    RemoteError::Transient(format!("nothing came for {STALL:?}"))
}

fn failed(uri: &str, error: RemoteError) -> DownloadError {
    DownloadError::Remote { uri: uri.to_owned(), error }
}

enum Write {
    Append(Bytes),
    Clear,
}

/// A thread that writes and hashes one file: both take longer than the network's thread has.
struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    done: tokio::task::JoinHandle<io::Result<String>>,
}

impl Writer {
    /// Opens the file, and hashes what is there; gives how much that is.
    async fn open(path: PathBuf) -> io::Result<(Self, u64)> {
        let growing = blocking(move || Growing::open(&path)).await?;
        let length = growing.length();
        let (queue, writes) = mpsc::channel(QUEUE);
        let done = spawn(move || write(growing, writes));
        Ok((Self { queue: Some(queue), done }, length))
    }

    async fn send(&self, write: Write) -> Result<(), Cut> {
        match &self.queue {
            Some(queue) => queue.send(write).await.map_err(|_| Cut::Disk),
            None => Err(Cut::Disk),
        }
    }

    async fn finish(&mut self) -> io::Result<String> {
        self.queue = None;
        (&mut self.done).await.map_err(io::Error::other)?
    }

    async fn failure(&mut self) -> io::Error {
        match self.finish().await {
            Err(error) => error,
            Ok(_) => io::Error::other("the writer has ended early"),
        }
    }
}

fn write(mut growing: Growing, mut writes: mpsc::Receiver<Write>) -> io::Result<String> {
    while let Some(write) = writes.blocking_recv() {
        match write {
            Write::Append(chunk) => growing.append(&chunk)?,
            Write::Clear => growing.clear()?,
        }
    }
    growing.finish()
}

#[expect(clippy::disallowed_methods, reason = "it ends with the download that owns it")]
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn(work).await.unwrap_or_else(|error| Err(io::Error::other(format!("it panicked: {error}"))))
}

#[cfg(test)]
mod tests;
