//! What the registries list, under the names on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use perch_models::artifact::Artifact;
use perch_models::backend::LoadError;
use perch_models::registry::{Listing, ModelListing, Progress, Registry, RegistryError, Selector, Wanted, Whereabouts};

use super::choose::{Tracks, gone};
use super::place::is_own_folder;
use super::some_of;
use crate::cli::{Failure, Outcome};
use crate::config::{Config, Model};
use crate::registries::Registries;

/// One model.
pub(super) struct Entry {
    /// Its settings, and its name on the wire.
    pub(super) model: Model,
    /// Its name in the registry.
    pub(super) source: String,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) listing: ModelListing,
}

/// All models that a command is about, by name.
pub(super) struct Catalog {
    pub(super) entries: Vec<Entry>,
    /// What registries that cannot be read have to say.
    unreachable: Vec<String>,
}

impl Catalog {
    /// Asks the registries. `version` is one that the command names: where a registry lists the newest only, it is asked
    /// for that one too.
    pub(super) async fn read(config: &Config, version: Option<u64>) -> Result<Self, Failure> {
        let registries = Registries::open(&asking_for(config, version)).map_err(Failure::Usage)?;
        let follows_all = config.models.is_empty() || config.registry.select.is_some();
        let is_asked = |feed: usize| {
            (feed == 0 && follows_all) || config.models.iter().any(|model| registries.of(model).0 == feed)
        };
        let mut heard: BTreeMap<usize, Result<Listing, RegistryError>> = BTreeMap::new();
        for (number, feed) in registries.feeds().iter().enumerate().filter(|(number, _)| is_asked(*number)) {
            heard.insert(number, feed.registry.list().await);
        }
        let unreachable: Vec<String> =
            heard.values().filter_map(|result| result.as_ref().err()).map(|error| error.0.clone()).collect();
        if unreachable.len() == heard.len() && !unreachable.is_empty() {
            return Err(Failure::Missing(unreachable.join("\n")));
        }
        let mut models = config.models.clone();
        if let Some(Ok(listing)) = heard.get(&0).filter(|_| follows_all) {
            let known: Vec<&str> =
                config.models.iter().map(|model| registries.of(model)).map(|(_, name)| name).collect();
            let others = listing.keys().filter(|name| !known.contains(&name.as_str()));
            models.extend(others.map(|name| config.registry.model(name)));
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        let mut entries = Vec::new();
        for model in models {
            let (feed, source) = registries.of(&model);
            let (source, registry) = (source.to_owned(), registries.get(feed).registry.clone());
            if let Some(Ok(listing)) = heard.get(&feed) {
                let missing = || ModelListing {
                    error: Some(format!("the registry has no model \"{source}\"")),
                    ..ModelListing::default()
                };
                let listing = listing.get(&source).cloned().unwrap_or_else(missing);
                entries.push(Entry { model, source, registry, listing });
            }
        }
        Ok(Self { entries, unreachable })
    }

    /// How a command ends that has shown all models: not well where an entry is broken or a registry cannot be read.
    pub(super) fn outcome(&self) -> Outcome {
        let mut broken = self.unreachable.clone();
        for Entry { model, listing, .. } in &self.entries {
            let tracks = [&model.stable, &model.canary].into_iter().filter_map(|selector| gone(selector, listing));
            // Whoever has no entry has no versions either.
            let missing: Vec<String> = if listing.error.is_some() { Vec::new() } else { tracks.collect() };
            let problems = listing.error.iter().chain(&missing);
            broken.extend(problems.map(|problem| format!("{}: {problem}", model.name)));
        }
        match broken.is_empty() {
            true => Ok(()),
            false if self.unreachable.is_empty() => Err(Failure::Failed(broken.join("\n"))),
            false => Err(Failure::Missing(broken.join("\n"))),
        }
    }

    /// Says why nothing is shown, where that is so.
    pub(super) fn explain_nothing(&self, config: &Config) {
        if !self.entries.is_empty() || !config.models.is_empty() {
            return;
        }
        match &config.registry.select {
            Some(tag) => eprintln!(
                "perch: no model carries the tag {}{}; set it, name models by --model, or list them in the configuration",
                tag.key,
                tag.value.as_ref().map_or_else(String::new, |value| format!("={value}"))
            ),
            None => eprintln!("perch: the folder holds no models"),
        }
    }
}

/// The one model that a command names, as the registry has it. `config` is of this model alone, `all` without it.
pub(super) async fn one(config: &Config, all: &Config, version: Option<u64>) -> Result<Entry, Failure> {
    let mut catalog = Catalog::read(config, version).await?;
    let Some(entry) = catalog.entries.pop() else {
        return Err(Failure::Missing(catalog.unreachable.join("\n")));
    };
    let Some(error) = &entry.listing.error else { return Ok(entry) };
    // A hint only: that it cannot be had is no second error.
    let known = match Catalog::read(all, None).await {
        Ok(all) => all.entries,
        Err(_) => Vec::new(),
    };
    let known: Vec<String> =
        known.into_iter().filter(|other| other.listing.error.is_none()).map(|other| other.model.name).collect();
    let hint = if known.is_empty() { String::new() } else { format!("; others there: {}", some_of(&known)) };
    Err(Failure::Failed(format!("{}: {error}{hint}", entry.model.name)))
}

/// The configuration with `version` among those that it names by number, which a registry lists however old they are.
/// Only what is asked for comes from there.
fn asking_for(config: &Config, version: Option<u64>) -> Config {
    let mut config = config.clone();
    if let Some(version) = version {
        for model in config.models.iter_mut().filter(|model| !is_own_folder(&model.source)) {
            // One of the two may name a version already, and stays.
            let spare =
                if matches!(model.canary, Selector::Version(_)) { &mut model.stable } else { &mut model.canary };
            *spare = Selector::Version(version);
        }
    }
    config
}

impl Entry {
    /// What its tracks select, by what is listed.
    pub(super) fn tracks(&self) -> Tracks {
        Tracks::of(&self.model, &self.listing, &[])
    }

    /// The version, or an error that names those there are.
    pub(super) fn require(&self, version: u64) -> Result<u64, Failure> {
        if self.listing.versions.contains_key(&version) {
            return Ok(version);
        }
        Err(Failure::Failed(format!("{} has no version {version}, expected {}", self.model.name, self.choices())))
    }

    /// Its versions, for a message.
    pub(super) fn choices(&self) -> String {
        let known: Vec<u64> = self.listing.versions.keys().copied().collect();
        match known.as_slice() {
            [] => "one, but it has no versions".to_owned(),
            known => format!("one of {}", some_of(known)),
        }
    }

    /// Where an alias is.
    pub(super) fn alias(&self, alias: &str) -> Option<u64> {
        self.listing.aliases.as_ref().and_then(|aliases| aliases.get(alias)).copied()
    }

    /// The aliases of a version.
    pub(super) fn aliases_of(&self, version: u64) -> Vec<String> {
        let all = self.listing.aliases.iter().flatten();
        all.filter(|(_, to)| **to == version).map(|(alias, _)| alias.clone()).collect()
    }

    /// Where the files of a listed version are.
    pub(super) fn whereabouts(&self, version: u64) -> Whereabouts {
        let listed = self.listing.versions.get(&version);
        listed.map_or(Whereabouts::Away, |listed| self.registry.whereabouts(&self.source, version, listed))
    }

    /// Brings the files of a version here. A person asks because something is wrong, or may be: what is in the cache is
    /// compared with what the store has by now.
    pub(super) async fn fetch(&self, version: u64, progress: Arc<dyn Progress>) -> Result<Artifact, LoadError> {
        let Some(listed) = self.listing.versions.get(&version) else {
            return Err(LoadError::Download(format!("there is no version {version}")));
        };
        self.registry.fetch(Wanted { model: &self.source, version, listed, again: true, progress }).await
    }
}
