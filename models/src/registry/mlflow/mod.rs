//! A registry in MLflow: versions and aliases over its REST API, artifacts from where it says they lie.

mod client;
mod fetch;
mod follow;
mod memory;
mod proxy;
mod wire;

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use tokio::sync::Mutex;

use self::client::{Client, ClientError};
use self::fetch::Fetcher;
use self::follow::{Follower, Polled};
use self::memory::Memory;
use super::{
    BoxFuture, Change, Listing, ModelListing, Recalled, Registry, RegistryError, VersionListing, Wanted, Whereabouts,
};
use crate::artifact::Artifact;
use crate::artifacts::cache::Cache;
use crate::artifacts::download::blocking;
use crate::artifacts::objects::{self, Stores};
use crate::backend::LoadError;

pub use client::Options;
pub use follow::Follow;

/// A registry in MLflow.
pub struct Mlflow {
    client: Client,
    follower: Mutex<Follower>,
    memory: Arc<Memory>,
    fetcher: Fetcher,
}

impl Mlflow {
    /// A client of the server that `options` name, which keeps artifacts in `cache`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address or a certificate is none.
    pub fn new(options: Options, follow: Follow, cache: Cache, objects: objects::Options) -> Result<Self, String> {
        let client = Client::new(options)?;
        let memory = Memory::new(&cache.root().join("registry"), &format!("{}\n{follow:?}", client.address()));
        let fetcher = Fetcher { client: client.clone(), cache, stores: Stores::new(objects) };
        Ok(Self { client, follower: Mutex::new(Follower::new(follow)), memory: Arc::new(memory), fetcher })
    }

    async fn poll(&self) -> Result<Listing, RegistryError> {
        let Polled { mut listing, refused } = self.follower.lock().await.poll(&self.client).await?;
        let memory = self.memory.clone();
        let kept = blocking(move || {
            let last = if refused.is_empty() { None } else { memory.recall() };
            for name in &refused {
                let known = last.as_ref().and_then(|last| last.listing.get(name));
                if let (Some(known), Some(model)) = (known, listing.get_mut(name)) {
                    *model = ModelListing { error: model.error.take(), ..known.clone() };
                }
            }
            // Nothing at all may be the answer of something that is no MLflow: it is no reason to forget.
            let kept = if listing.is_empty() { Ok(()) } else { memory.remember(&listing) };
            Ok((listing, kept))
        });
        let (listing, kept) = kept.await.map_err(|error| RegistryError(error.to_string()))?;
        if let Err(error) = kept {
            tracing::warn!(%error, "the listing cannot be kept: a start while the registry is away will find nothing");
        }
        Ok(listing)
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

    fn whereabouts(&self, model: &str, version: u64, listed: &VersionListing) -> Whereabouts {
        self.fetcher.whereabouts(model, version, listed)
    }

    fn fetch<'f>(&'f self, wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>> {
        Box::pin(self.fetcher.bring(wanted))
    }

    fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>> {
        Box::pin(async move { Ok(self.change(model, change).await?) })
    }
}

impl From<ClientError> for RegistryError {
    fn from(error: ClientError) -> Self {
        Self(error.to_string())
    }
}
