//! Which models of the registry are followed, and what is asked about them on each poll.
//!
//! One request a poll for all models that carry the tag, one for each that is named. Only where the answer differs from
//! the last one, or once in a while, is the model's list of versions asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::client::{Client, ClientError};
use super::wire::{GetModel, GetVersion, ModelVersion, RegisteredModel, SearchModels, SearchVersions};
use crate::registry::{Listing, ModelListing, VersionListing};

/// Versions of one model that are listed, the newest first; older ones are found when an alias names them.
const VERSIONS: &str = "100";
/// Requests at the same time.
const AT_ONCE: usize = 8;
/// Models of one page of a search.
const PAGE: &str = "100";
/// A version's tags, or its deletion, do not show in the model's own answer: what did not change is asked for again
/// after this long.
const WHOLE: Duration = Duration::from_secs(60);
/// What a stage is called that is none.
const NO_STAGE: &str = "None";

/// Which models are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Follow {
    /// These, each with the versions that the configuration names by number.
    pub models: BTreeMap<String, BTreeSet<u64>>,
    /// All that carry this tag, with this value where one is given.
    pub tag: Option<(String, Option<String>)>,
}

/// What was last heard of one model.
struct Heard {
    answer: RegisteredModel,
    listing: ModelListing,
    whole: Instant,
}

/// What one poll brought.
pub(super) struct Polled {
    pub(super) listing: Listing,
    /// Models whose entries were refused: they are there, and what was known of them still holds.
    pub(super) refused: Vec<String>,
}

/// The followed models as they were last heard of.
pub(super) struct Follower {
    follow: Follow,
    heard: HashMap<String, Heard>,
}

impl Follower {
    pub(super) fn new(follow: Follow) -> Self {
        Self { follow, heard: HashMap::new() }
    }

    /// Forgets what did not change: the next poll asks for everything.
    pub(super) fn forget(&mut self) {
        self.heard.clear();
    }

    /// Asks for all followed models.
    pub(super) async fn poll(&mut self, client: &Client) -> Result<Polled, ClientError> {
        let mut answers: BTreeMap<String, Result<RegisteredModel, ClientError>> = BTreeMap::new();
        if let Some((key, value)) = &self.follow.tag {
            for model in search(client, key, value.as_deref()).await? {
                answers.insert(model.name.clone(), Ok(model));
            }
        }
        let mut asked = Vec::new();
        for name in self.follow.models.keys().filter(|name| !answers.contains_key(*name)) {
            asked.push(get_model(client, name));
        }
        let asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
        answers.extend(asked.collect::<Vec<_>>().await);
        let mut listing = BTreeMap::new();
        let (mut denied, mut refused) = (None, Vec::new());
        for (name, answer) in answers {
            let model = match answer {
                Ok(answer) => self.listing(client, &name, answer).await,
                Err(error) => Err(error),
            };
            // One model's trouble is its own; a server that is away is everybody's.
            let message = match model {
                Ok(model) => {
                    listing.insert(name, model);
                    continue;
                }
                Err(error) if error.is_missing() => format!("the registry has no model \"{name}\""),
                Err(error @ ClientError::Refused { .. }) => {
                    let message = error.to_string();
                    denied.get_or_insert(error);
                    refused.push(name.clone());
                    message
                }
                Err(error) => return Err(error),
            };
            listing.insert(name, ModelListing { error: Some(message), ..ModelListing::default() });
        }
        // A wrong password is everybody's trouble, too.
        if let Some(denied) = denied.filter(|_| listing.values().all(|model| model.error.is_some())) {
            return Err(denied);
        }
        self.heard.retain(|name, _| listing.contains_key(name));
        Ok(Polled { listing, refused })
    }

    async fn listing(
        &mut self,
        client: &Client,
        name: &str,
        answer: RegisteredModel,
    ) -> Result<ModelListing, ClientError> {
        if let Some(heard) = self.heard.get(name)
            && heard.answer == answer
            && heard.whole.elapsed() < WHOLE
        {
            return Ok(heard.listing.clone());
        }
        let filter = if name.contains('\'') { format!("name=\"{name}\"") } else { format!("name='{name}'") };
        let query = [("filter", filter.as_str()), ("order_by", "version_number DESC"), ("max_results", VERSIONS)];
        let found: SearchVersions = client.read("model-versions/search", &query).await?;
        let mut versions: BTreeMap<u64, VersionListing> =
            found.model_versions.iter().map(|version| (version.version.0, listed(client, name, version))).collect();
        let aliases: BTreeMap<String, u64> =
            answer.aliases.iter().map(|alias| (alias.alias.clone(), alias.version.0)).collect();
        let staged = answer.latest_versions.iter().map(|version| version.version.0);
        let named = self.follow.models.get(name).into_iter().flatten().copied();
        for wanted in aliases.values().copied().chain(staged).chain(named) {
            if !versions.contains_key(&wanted)
                && let Some(version) = get_version(client, name, wanted).await?
            {
                versions.insert(wanted, listed(client, name, &version));
            }
        }
        let listing = ModelListing { versions, aliases: Some(aliases), error: None };
        let heard = Heard { answer, listing: listing.clone(), whole: Instant::now() };
        self.heard.insert(name.to_owned(), heard);
        Ok(listing)
    }
}

async fn get_model(client: &Client, name: &str) -> (String, Result<RegisteredModel, ClientError>) {
    let got = client.read::<GetModel>("registered-models/get", &[("name", name)]).await;
    (name.to_owned(), got.map(|answer| answer.registered_model))
}

async fn search(client: &Client, key: &str, value: Option<&str>) -> Result<Vec<RegisteredModel>, ClientError> {
    let quoted = |text: &str| if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") };
    let filter = match value {
        Some(value) => format!("tags.`{key}` = {}", quoted(value)),
        None => format!("tags.`{key}` LIKE '%'"),
    };
    let (mut models, mut token) = (Vec::new(), String::new());
    loop {
        let query = [("filter", filter.as_str()), ("max_results", PAGE), ("page_token", token.as_str())];
        let query = if token.is_empty() { &query[..2] } else { &query[..] };
        let page: SearchModels = client.read("registered-models/search", query).await?;
        models.extend(page.registered_models);
        match page.next_page_token.filter(|next| !next.is_empty() && *next != token) {
            Some(next) => token = next,
            None => return Ok(models),
        }
    }
}

/// One version; `None` where there is none.
pub(super) async fn get_version(
    client: &Client,
    name: &str,
    version: u64,
) -> Result<Option<ModelVersion>, ClientError> {
    let query = [("name", name), ("version", &version.to_string())];
    match client.read::<GetVersion>("model-versions/get", &query).await {
        Ok(answer) => Ok(Some(answer.model_version)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn listed(client: &Client, name: &str, version: &ModelVersion) -> VersionListing {
    let stage = Some(version.current_stage.clone()).filter(|stage| !stage.is_empty() && stage != NO_STAGE);
    VersionListing {
        fingerprint: fingerprint(&client.address(), name, version),
        settled: !version.is_pending(),
        stage,
        tags: version.tags(),
    }
}

/// A version's files never change, but a version may be deleted and its number given again. The same in every process:
/// the cache goes by it.
fn fingerprint(address: &str, name: &str, version: &ModelVersion) -> u64 {
    let text = format!("{address}\0{name}\0{}\0{}\0{}", version.version.0, version.creation_timestamp, version.source);
    let hash = Sha256::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}
