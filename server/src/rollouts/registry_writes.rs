//! Carries changes of aliases and tags from the outbox to the registries.

use std::collections::BTreeMap;

use perch_models::registry::Change;
use perch_store::{BoxFuture, Pending};

use super::messages::RegistryWrite;
use super::outbox::{Courier, Outcome};
use crate::metrics;
use crate::registries::Feed;

/// Knows the registries.
pub struct RegistryWrites {
    feeds: Vec<Feed>,
}

impl RegistryWrites {
    /// To these registries, the configured one first.
    #[must_use]
    pub const fn new(feeds: Vec<Feed>) -> Self {
        Self { feeds }
    }

    /// The registry of a model: the folder of its own, else the configured one.
    fn feed(&self, model: &str) -> Option<&Feed> {
        self.feeds.iter().find(|feed| feed.folder_of.as_deref() == Some(model)).or_else(|| self.feeds.first())
    }

    async fn write(&self, pending: &Pending) -> Outcome {
        let RegistryWrite { model, source, change, only_if } =
            match serde_json::from_value(pending.message.payload.clone()) {
                Ok(write) => write,
                Err(error) => return Outcome::Hopeless(format!("no change of a registry: {error}")),
            };
        let Some(feed) = self.feed(&model) else { return Outcome::Hopeless("there is no registry".into()) };
        // It was meant to be written when it was stored; the configuration may say otherwise by now.
        let (wanted, what) = match change {
            Change::SetTag { .. } => (feed.tagged, "tags are written to"),
            _ => (feed.moves_aliases, "aliases are moved in"),
        };
        if !wanted {
            return Outcome::Hopeless(format!("no {what} this registry"));
        }
        match moved_meanwhile(feed, &source, &only_if).await {
            Ok(None) => {}
            Ok(Some((alias, now))) => {
                tracing::info!(model, ?change, alias, ?now, "an alias was moved meanwhile: the change is not made");
                return Outcome::Sent;
            }
            Err(error) => return Outcome::Later { error, after: None },
        }
        let result = feed.registry.write(&source, &change).await;
        metrics::count_registry_write(result.is_ok());
        match result {
            Ok(()) => Outcome::Sent,
            Err(error) => Outcome::Later { error: error.0, after: None },
        }
    }
}

/// An alias that points elsewhere than it may, and where.
async fn moved_meanwhile<'a>(
    feed: &Feed,
    source: &str,
    only_if: &'a BTreeMap<String, Vec<u64>>,
) -> Result<Option<(&'a str, Option<u64>)>, String> {
    if only_if.is_empty() {
        return Ok(None);
    }
    let listing = feed.registry.list().await.map_err(|error| error.0)?;
    let Some(model) = listing.get(source) else { return Err("the registry lists no such model".to_owned()) };
    if let Some(error) = &model.error {
        return Err(error.clone());
    }
    let now = |alias: &str| model.aliases.as_ref().and_then(|aliases| aliases.get(alias).copied());
    let elsewhere = |(alias, versions): (&'a String, &Vec<u64>)| {
        let now = now(alias);
        (!now.is_some_and(|now| versions.contains(&now))).then_some((alias.as_str(), now))
    };
    Ok(only_if.iter().find_map(elsewhere))
}

impl Courier for RegistryWrites {
    fn deliver<'a>(&'a self, pending: &'a Pending) -> BoxFuture<'a, Outcome> {
        Box::pin(self.write(pending))
    }
}
