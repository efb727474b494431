//! Artifacts behind MLflow's artifact proxy (`mlflow-artifacts:/…`).
//!
//! Seen on 3.17.2: a folder is listed level by level, with paths relative to it; a missing one is an empty list; a
//! missing file is a 500; `Range` is not honoured and no length is sent, so that a cut file comes again from its start.

use futures_util::TryStreamExt as _;

use super::client::{Client, ClientError, flat};
use super::wire::ListArtifacts;
use crate::artifacts::remote::{Reading, Remote, RemoteError, RemoteFile};
use crate::registry::{BoxFuture, inside};

/// More is no artifact of a model.
const MAX_FOLDERS: usize = 1000;

/// A folder behind the proxy.
pub(super) struct Proxied {
    client: Client,
    folder: String,
    uri: String,
}

impl Proxied {
    pub(super) fn new(client: Client, folder: String) -> Self {
        let uri = format!("mlflow-artifacts:/{folder}");
        Self { client, folder, uri }
    }

    async fn list_all(&self) -> Result<Vec<RemoteFile>, RemoteError> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        let mut listed = 0;
        while let Some(folder) = folders.pop() {
            listed += 1;
            if listed > MAX_FOLDERS {
                return Err(RemoteError::Permanent(format!("{} has more than {MAX_FOLDERS} folders", self.uri)));
            }
            let path = format!("{}{}{folder}", self.folder, if folder.is_empty() { "" } else { "/" });
            let listing: ListArtifacts = self.client.list_artifacts(&path).await.map_err(failed)?;
            for file in listing.files {
                // A path that leads out of its folder could also lead round in a circle.
                inside(&file.path).map_err(|error| RemoteError::Permanent(format!("{}: {error}", self.uri)))?;
                let path = if folder.is_empty() { file.path } else { format!("{folder}/{}", file.path) };
                if file.is_dir {
                    folders.push(path);
                } else {
                    files.push(RemoteFile { path, bytes: file.file_size.0, etag: None });
                }
            }
        }
        Ok(files)
    }
}

impl Remote for Proxied {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, RemoteError>> {
        Box::pin(self.list_all())
    }

    fn read<'r>(&'r self, file: &'r RemoteFile, _from: u64) -> BoxFuture<'r, Result<Reading, RemoteError>> {
        Box::pin(async move {
            let path = format!("{}/{}", self.folder, file.path);
            let response = self.client.open_artifact(&path).await.map_err(failed)?;
            let broken = |error: reqwest::Error| RemoteError::Transient(flat(&error));
            Ok(Reading { from: 0, chunks: Box::pin(response.bytes_stream().map_err(broken)) })
        })
    }
}

fn failed(error: ClientError) -> RemoteError {
    match error {
        ClientError::Transient(message) if message.contains("500 Internal") => {
            RemoteError::Transient(format!("{message} (MLflow answers so when its own store of artifacts is away)"))
        }
        ClientError::Transient(message) | ClientError::Strange(message) => RemoteError::Transient(message),
        ClientError::Refused { message, .. } => RemoteError::Permanent(message),
    }
}
