//! A registry in MLflow: versions and aliases over its REST API, artifacts from where it says they lie.

mod client;
mod follow;
mod memory;
mod proxy;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::Mutex;

use self::client::{Client, ClientError};
use self::follow::{Follower, Polled, get_version};
use self::memory::Memory;
use self::proxy::Proxied;
use self::wire::DownloadUri;
use super::{BoxFuture, Change, DIGEST_TAG, Listing, ModelListing, Recalled, Registry, RegistryError, Wanted};
use crate::artifact::Artifact;
use crate::artifacts::cache::{Cache, Found, key};
use crate::artifacts::download::{DownloadError, blocking, download, list};
use crate::artifacts::manifest::Manifest;
use crate::artifacts::objects::{self, Objects};
use crate::artifacts::remote::Remote;
use crate::artifacts::staging::Staging;
use crate::artifacts::uri::{self, Place};
use crate::backend::LoadError;

pub use client::Options;
pub use follow::Follow;

/// While another process downloads the same artifact, this one looks so often whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A registry in MLflow.
pub struct Mlflow {
    client: Client,
    follower: Mutex<Follower>,
    memory: Arc<Memory>,
    cache: Cache,
    objects: objects::Options,
}

impl Mlflow {
    /// A client of the server that `options` name, which keeps artifacts in `cache`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address or a certificate is none.
    pub fn new(options: Options, follow: Follow, cache: Cache, objects: objects::Options) -> Result<Self, String> {
        let client = Client::new(options)?;
        let memory = Memory::new(&cache.root().join("registry"), &format!("{}\n{follow:?}", client.address()));
        Ok(Self { client, follower: Mutex::new(Follower::new(follow)), memory: Arc::new(memory), cache, objects })
    }

    async fn poll(&self) -> Result<Listing, RegistryError> {
        let Polled { mut listing, refused } = self.follower.lock().await.poll(&self.client).await.map_err(told)?;
        let memory = self.memory.clone();
        let kept = blocking(move || {
            let last = if refused.is_empty() { None } else { memory.recall() };
            for name in &refused {
                let known = last.as_ref().and_then(|last| last.listing.get(name));
                if let (Some(known), Some(model)) = (known, listing.get_mut(name)) {
                    *model = ModelListing { error: model.error.take(), ..known.clone() };
                }
            }
            let kept = memory.remember(&listing);
            Ok((listing, kept))
        });
        let (listing, kept) = kept.await.map_err(|error| RegistryError(error.to_string()))?;
        if let Err(error) = kept {
            tracing::warn!(%error, "the listing cannot be kept: a start while the registry is away will find nothing");
        }
        Ok(listing)
    }

    async fn bring(&self, wanted: Wanted<'_>) -> Result<Artifact, LoadError> {
        let key = key(wanted.model, wanted.version, wanted.listed.fingerprint);
        let listed = wanted.listed.tags.get(DIGEST_TAG).cloned();
        if wanted.again {
            self.drop_outdated(&wanted, &key).await?;
        }
        if let Some(artifact) = self.cached(&key, listed.as_deref()).await? {
            return Ok(artifact);
        }
        let version = get_version(&self.client, wanted.model, wanted.version).await.map_err(unavailable)?;
        let version = version.ok_or_else(|| LoadError::Download(format!("version {} is gone", wanted.version)))?;
        if let Some(failure) = version.failure() {
            return Err(LoadError::Download(format!("the registry says {failure}")));
        }
        let expected = version.tags().remove(DIGEST_TAG);
        let remote = self.locate(wanted.model, wanted.version).await?;
        let mut waited = false;
        let staging = loop {
            let (cache, own) = (self.cache.clone(), key.clone());
            if let Some(staging) = blocking(move || cache.stage(&own)).await.map_err(|error| self.unwritable(&error))? {
                break staging;
            }
            if !std::mem::replace(&mut waited, true) {
                tracing::info!(key, "another process is downloading it, waiting");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            // It may have been another process's download that ended.
            if let Some(artifact) = self.cached(&key, expected.as_deref()).await? {
                return Ok(artifact);
            }
        };
        self.download(remote.as_ref(), staging, &key, &wanted).await?;
        let found = self.cached(&key, expected.as_deref()).await?;
        found.ok_or_else(|| LoadError::Download("what was downloaded is not what is on the disk".into()))
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
        let Some(manifest) = self.cache.manifest(key) else { return Ok(()) };
        // A store that is away has not mended anything.
        let Ok(remote) = self.locate(wanted.model, wanted.version).await else { return Ok(()) };
        let Ok(listed) = remote.list().await else { return Ok(()) };
        if !manifest.is_current(&listed) {
            tracing::info!(key, "the store has other files than the cache by now: downloading again");
            let (cache, own) = (self.cache.clone(), key.to_owned());
            blocking(move || cache.remove(&own)).await.map_err(|error| self.unwritable(&error))?;
        }
        Ok(())
    }

    /// Where the version's files lie.
    async fn locate(&self, model: &str, version: u64) -> Result<Box<dyn Remote>, LoadError> {
        let query = [("name", model), ("version", &version.to_string())];
        let answer: DownloadUri =
            self.client.read("model-versions/get-download-uri", &query).await.map_err(unavailable)?;
        let wrong = |error: String| LoadError::Download(format!("artifact {}: {error}", answer.artifact_uri));
        Ok(match uri::parse(&answer.artifact_uri).map_err(wrong)? {
            Place::Proxied(path) => Box::new(Proxied::new(self.client.clone(), path)),
            Place::Folder(path) => Box::new(Objects::folder(&path).map_err(wrong)?),
            Place::Bucket { uri, store, bucket, prefix } => {
                Box::new(Objects::bucket(&uri, store, &bucket, &prefix, &self.objects).map_err(wrong)?)
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
        let present = staging.resume(&files).map_err(unwritable)?;
        let (cache, own) = (self.cache.clone(), key.to_owned());
        if let Err(error) = blocking(move || cache.make_room(&own, bytes)).await {
            blocking(move || staging.abandon()).await.map_err(unwritable)?;
            return Err(LoadError::Download(error.to_string()));
        }
        let progress = wanted.progress.as_ref();
        let mut result = download(remote, &files, &staging, present, progress).await;
        if result.as_ref().is_err_and(DownloadError::is_full) {
            let (cache, own) = (self.cache.clone(), key.to_owned());
            if blocking(move || cache.free_disk(&own)).await.map_err(unwritable)? {
                let present = staging.resume(&files).map_err(unwritable)?;
                result = download(remote, &files, &staging, present, progress).await;
            }
        }
        let entries = match result {
            Ok(entries) => entries,
            Err(error) => {
                if error.is_full() || matches!(error, DownloadError::Unusable(_)) {
                    // Others need the room, and nobody will go on with it.
                    blocking(move || staging.abandon()).await.map_err(unwritable)?;
                }
                return Err(failed(error));
            }
        };
        let manifest = Manifest::new(remote.uri(), entries);
        let cache = self.cache.clone();
        blocking(move || cache.admit(staging, &manifest)).await.map_err(unwritable)
    }

    fn unwritable(&self, error: &std::io::Error) -> LoadError {
        LoadError::Download(format!("the cache {}: {error}", self.cache.root().display()))
    }

    async fn change(&self, model: &str, change: &Change) -> Result<(), ClientError> {
        let (method, path, body) = match change {
            Change::SetAlias { alias, version } => (
                Method::POST,
                "registered-models/alias",
                json!({"name": model, "alias": alias, "version": version.to_string()}),
            ),
            Change::DeleteAlias { alias } => {
                (Method::DELETE, "registered-models/alias", json!({"name": model, "alias": alias}))
            }
            Change::SetTag { version, key, value } => (
                Method::POST,
                "model-versions/set-tag",
                json!({"name": model, "version": version.to_string(), "key": key, "value": value}),
            ),
            Change::SetStage { version, stage } => (
                Method::POST,
                "model-versions/transition-stage",
                json!({
                    "name": model,
                    "version": version.to_string(),
                    "stage": stage,
                    "archive_existing_versions": true,
                }),
            ),
        };
        self.client.change(method, path, &body).await
    }
}

impl Registry for Mlflow {
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>> {
        Box::pin(self.poll())
    }

    fn recall(&self) -> BoxFuture<'_, Option<Recalled>> {
        let memory = self.memory.clone();
        Box::pin(async { blocking(move || Ok(memory.recall())).await.ok().flatten() })
    }

    fn versions_never_change(&self) -> bool {
        true
    }

    fn forget(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.follower.lock().await.forget() })
    }

    fn fetch<'f>(&'f self, wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>> {
        Box::pin(self.bring(wanted))
    }

    fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>> {
        Box::pin(async move { self.change(model, change).await.map_err(told) })
    }
}

fn told(error: ClientError) -> RegistryError {
    RegistryError(error.to_string())
}

fn unavailable(error: ClientError) -> LoadError {
    LoadError::Download(error.to_string())
}
