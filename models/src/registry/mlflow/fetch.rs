//! Brings a version's files here: from the cache, or from where MLflow says that they lie.

use std::path::PathBuf;
use std::time::Duration;

use super::client::{Client, ClientError};
use super::follow::get_version;
use super::proxy::Proxied;
use super::wire::DownloadUri;
use crate::artifact::Artifact;
use crate::artifacts::cache::{Cache, Found, key};
use crate::artifacts::download::{DownloadError, blocking, download, list};
use crate::artifacts::manifest::Manifest;
use crate::artifacts::objects::{Objects, Stores};
use crate::artifacts::remote::{Remote, RemoteFile};
use crate::artifacts::staging::Staging;
use crate::artifacts::uri::{self, Place};
use crate::backend::LoadError;
use crate::registry::{DIGEST_TAG, VersionListing, Wanted, Whereabouts};

/// While another process downloads the same artifact, this one looks so often whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Brings files.
pub(super) struct Fetcher {
    pub(super) client: Client,
    pub(super) cache: Cache,
    pub(super) stores: Stores,
}

impl Fetcher {
    pub(super) fn whereabouts(&self, model: &str, version: u64, listed: &VersionListing) -> Whereabouts {
        let cached = self.cache.manifest(&key(model, version, listed.fingerprint)).is_some();
        if cached { Whereabouts::Cached } else { Whereabouts::Away }
    }

    pub(super) async fn bring(&self, wanted: Wanted<'_>) -> Result<Artifact, LoadError> {
        let key = key(wanted.model, wanted.version, wanted.listed.fingerprint);
        let listed = wanted.listed.tags.get(DIGEST_TAG).cloned();
        if wanted.again {
            self.drop_outdated(&wanted, &key).await?;
        }
        if let Some(artifact) = self.cached(&key, listed.as_deref()).await? {
            return Ok(artifact);
        }
        let version = get_version(&self.client, wanted.model, wanted.version).await?;
        let version = version.ok_or_else(|| LoadError::Download(format!("version {} is gone", wanted.version)))?;
        if let Some(failure) = version.failure() {
            return Err(LoadError::Download(format!("the registry says {failure}")));
        }
        let expected = version.tags().remove(DIGEST_TAG);
        let remote = self.locate(wanted.model, wanted.version).await?;
        let staging = self.take_turn(&key).await?;
        // Another process may have ended its download before it was our turn.
        match self.cached(&key, expected.as_deref()).await {
            Ok(None) => {}
            Ok(Some(artifact)) => {
                self.abandon(staging).await?;
                return Ok(artifact);
            }
            Err(error) => {
                self.abandon(staging).await?;
                return Err(error);
            }
        }
        self.download(remote.as_ref(), staging, &key, &wanted).await?;
        let found = self.cached(&key, expected.as_deref()).await?;
        found.ok_or_else(|| LoadError::Download("what was downloaded is not what is on the disk".into()))
    }

    /// The download of `key`, once no other process is at it.
    async fn take_turn(&self, key: &str) -> Result<Staging, LoadError> {
        let mut waited = false;
        loop {
            let (cache, own) = (self.cache.clone(), key.to_owned());
            if let Some(staging) = blocking(move || cache.stage(&own)).await.map_err(|error| self.unwritable(&error))? {
                return Ok(staging);
            }
            if !std::mem::replace(&mut waited, true) {
                tracing::info!(key, "another process is downloading it, waiting");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the cache has, compared with its own hashes and with the registry's digest; what differs from the latter is
    /// removed, since the next download may be right.
    async fn cached(&self, key: &str, expected: Option<&str>) -> Result<Option<Artifact>, LoadError> {
        let (cache, own) = (self.cache.clone(), key.to_owned());
        let opened = blocking(move || {
            let Some(Found { dir, known, lease }) = cache.find(&own)? else { return Ok(None) };
            Ok(Some(Artifact::open(&dir, &known).map(|artifact| Artifact { lease: Some(lease), ..artifact })))
        });
        let opened = opened.await.map_err(|error| self.unwritable(&error))?.transpose()?;
        if let Some(artifact) = &opened
            && let Err(error) = artifact.verify(expected)
        {
            let (cache, own) = (self.cache.clone(), key.to_owned());
            blocking(move || cache.remove(&own)).await.map_err(|error| self.unwritable(&error))?;
            return Err(error);
        }
        Ok(opened)
    }

    /// Removes what could not be loaded if the store has something else by now: somebody has mended it.
    async fn drop_outdated(&self, wanted: &Wanted<'_>, key: &str) -> Result<(), LoadError> {
        let (cache, own) = (self.cache.clone(), key.to_owned());
        let manifest = blocking(move || Ok(cache.manifest(&own))).await.map_err(|error| self.unwritable(&error))?;
        let Some(manifest) = manifest else { return Ok(()) };
        // A store that is away has not mended anything.
        let Ok(remote) = self.locate(wanted.model, wanted.version).await else { return Ok(()) };
        let Ok(listed) = remote.list().await else { return Ok(()) };
        if !manifest.is_current(&listed) {
            tracing::info!(key, "the store may have other files by now: downloading again");
            let (cache, own) = (self.cache.clone(), key.to_owned());
            blocking(move || cache.remove(&own)).await.map_err(|error| self.unwritable(&error))?;
        }
        Ok(())
    }

    /// Where the version's files lie.
    async fn locate(&self, model: &str, version: u64) -> Result<Box<dyn Remote>, LoadError> {
        let query = [("name", model), ("version", &version.to_string())];
        let answer: DownloadUri = self.client.read("model-versions/get-download-uri", &query).await?;
        let wrong = |error: String| LoadError::Download(format!("artifact {}: {error}", answer.artifact_uri));
        Ok(match uri::parse(&answer.artifact_uri).map_err(wrong)? {
            Place::Proxied(path) => Box::new(Proxied::new(self.client.clone(), path)),
            Place::Folder(path) => Box::new(Objects::folder(&path).map_err(wrong)?),
            Place::Bucket { uri, store, bucket, prefix } => {
                Box::new(self.stores.folder(&uri, store, &bucket, &prefix).map_err(wrong)?)
            }
        })
    }

    async fn download(
        &self,
        remote: &dyn Remote,
        staging: Staging,
        key: &str,
        wanted: &Wanted<'_>,
    ) -> Result<(), LoadError> {
        let failed = |error: DownloadError| match error {
            DownloadError::Unusable(error) => error,
            other => LoadError::Download(other.to_string()),
        };
        let files = list(remote).await.map_err(failed)?;
        let bytes = files.iter().map(|(_, file)| file.bytes).sum();
        let unwritable = |error: std::io::Error| self.unwritable(&error);
        let (mut staging, mut files, mut present) = resume(staging, files).await.map_err(unwritable)?;
        let (cache, own) = (self.cache.clone(), key.to_owned());
        if let Err(error) = blocking(move || cache.make_room(&own, bytes)).await {
            self.abandon(staging).await?;
            return Err(LoadError::Download(error.to_string()));
        }
        let progress = wanted.progress.as_ref();
        let mut result = download(remote, &files, &staging, present, progress).await;
        if result.as_ref().is_err_and(DownloadError::is_full) {
            let (cache, own) = (self.cache.clone(), key.to_owned());
            if blocking(move || cache.free_disk(&own)).await.map_err(unwritable)? {
                (staging, files, present) = resume(staging, files).await.map_err(unwritable)?;
                result = download(remote, &files, &staging, present, progress).await;
            }
        }
        let entries = match result {
            Ok(entries) => entries,
            Err(error) => {
                if error.is_full() || matches!(error, DownloadError::Unusable(_)) {
                    // Others need the room, and nobody will go on with it.
                    self.abandon(staging).await?;
                }
                return Err(failed(error));
            }
        };
        let manifest = Manifest::new(remote.uri(), entries);
        let cache = self.cache.clone();
        blocking(move || cache.admit(staging, &manifest)).await.map_err(unwritable)
    }

    async fn abandon(&self, staging: Staging) -> Result<(), LoadError> {
        blocking(move || staging.abandon()).await.map_err(|error| self.unwritable(&error))
    }

    fn unwritable(&self, error: &std::io::Error) -> LoadError {
        LoadError::Download(format!("the cache {}: {error}", self.cache.root().display()))
    }
}

type Files = Vec<(PathBuf, RemoteFile)>;

/// Keeps of an earlier attempt what belongs to these files, where it may block; gives how many bytes that is, too.
async fn resume(staging: Staging, files: Files) -> std::io::Result<(Staging, Files, u64)> {
    let resumed = move || staging.resume(&files).map(|present| (staging, files, present));
    blocking(resumed).await
}

impl From<ClientError> for LoadError {
    fn from(error: ClientError) -> Self {
        Self::Download(error.to_string())
    }
}
