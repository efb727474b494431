//! One model between the registry and the catalog: what it has loaded, what is loading, what failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use perch_models::registry::{ModelListing, Selector, VersionListing, candidates};
use perch_models::version::ModelVersion;
use perch_router::rollout::Version;
use perch_router::track::Track;

use super::download::Download;
use super::load::Failed;
use super::plan::{Failure, Failures, Key, Problem, Step, TrackView, is_wanted, step};
use crate::cache::ResponseCache;
use crate::catalog::{ModelEntry, Served, VersionReport};
use crate::config::Model;
use crate::metrics::{self, ExecutionMetrics};
use crate::rollouts::{Route, Seen, SeenCanary, Wish};

/// A loaded version and its metrics.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) key: Key,
    pub(super) runtime: Arc<ModelVersion>,
    pub(super) executions: Arc<ExecutionMetrics>,
}

#[derive(Default)]
struct TrackState {
    served: Option<(Key, Arc<Served>)>,
    problem: Option<Problem>,
}

/// A version that is to be loaded.
pub(super) struct Order {
    pub(super) track: Track,
    pub(super) key: Key,
    pub(super) listed: VersionListing,
    /// Digests that are not to be loaded.
    pub(super) resting: BTreeSet<String>,
    pub(super) download: Arc<Download>,
    /// Whether it has failed before.
    pub(super) again: bool,
}

/// One model's state.
pub(super) struct ModelState {
    pub(super) settings: Model,
    pub(super) required: bool,
    /// Whether the registry was heard of, or could not be.
    heard: bool,
    /// When the registry was asked for what is listed; none where it is what an earlier process heard.
    asked: Option<Instant>,
    listing: ModelListing,
    tracks: [TrackState; 2],
    loading: Option<(Track, Key, Arc<Download>)>,
    failures: Failures,
    /// Where requests find the model's rollout.
    route: Arc<Route>,
    /// What the rollout wants.
    wish: Wish,
    /// Digests of versions whose files were here.
    digests: HashMap<Key, String>,
    /// What the rollout was told last.
    told: Option<Seen>,
    /// Where its answers are kept, if they are.
    cache: Option<Arc<ResponseCache>>,
}

impl ModelState {
    pub(super) fn new(settings: Model, required: bool, route: Arc<Route>, cache: Option<Arc<ResponseCache>>) -> Self {
        Self {
            settings,
            required,
            heard: false,
            asked: None,
            listing: ModelListing::default(),
            tracks: Default::default(),
            loading: None,
            failures: Failures::new(),
            route,
            wish: Wish::default(),
            digests: HashMap::new(),
            told: None,
            cache,
        }
    }

    /// Takes over what the registry lists, which was asked for at `asked`. Where its entry is broken or gone, the last good
    /// one stays in force.
    pub(super) fn observe(&mut self, listing: Option<ModelListing>, asked: Option<Instant>) {
        match listing {
            Some(listing) if listing.error.is_none() => {
                self.heard = true;
                (self.listing, self.asked) = (listing, asked);
            }
            Some(ModelListing { error: Some(error), versions, aliases }) => {
                if self.listing.versions.is_empty() {
                    // What an earlier process knew of it.
                    self.listing = ModelListing { versions, aliases, error: self.listing.error.take() };
                }
                self.observe_error(error);
            }
            _ => self.observe_error("the registry lists no such model".to_owned()),
        }
        let versions = &self.listing.versions;
        let is_listed = |key: &Key| versions.get(&key.version).is_some_and(|now| now.fingerprint == key.fingerprint);
        self.failures.retain(|key, _| is_listed(key));
        self.digests.retain(|key, _| is_listed(key));
    }

    /// The model's entry cannot be read.
    pub(super) fn observe_error(&mut self, error: String) {
        self.heard = true;
        if self.listing.error.as_ref() != Some(&error) {
            tracing::warn!(model = self.settings.name, error, "the model's entry in the registry cannot be followed");
        }
        self.listing.error = Some(error);
    }

    /// What failed is tried again now: somebody says that something has changed.
    pub(super) fn retry_now(&mut self, now: Instant) {
        self.failures.values_mut().for_each(|failure| failure.retry_at = now);
    }

    /// The tags of a version as the registry listed them.
    pub(super) fn tags(&self, version: u64) -> Option<&BTreeMap<String, String>> {
        self.listing.versions.get(&version).map(|listed| &listed.tags)
    }

    /// What a track serves: what the configuration says, unless a rollout holds two versions where they are.
    fn selector(&self, track: Track) -> Selector {
        let stable = candidates(&self.settings.stable, &self.listing);
        match (track, &self.wish.hold) {
            // Whoever moves the alias somewhere else is followed.
            (Track::Stable, Some(hold)) if stable.first().is_none_or(|at| [hold.old, hold.new].contains(at)) => {
                Selector::Version(hold.old)
            }
            (Track::Canary, Some(hold)) if hold.tried => Selector::Version(hold.new),
            (Track::Stable, _) => self.settings.stable.clone(),
            (Track::Canary, _) => self.settings.canary.clone(),
        }
    }

    /// The version that a selector wants most, and the state of its files.
    fn wanted(&self, selector: &Selector) -> Option<Key> {
        let version = *candidates(selector, &self.listing).first()?;
        Some(Key { version, fingerprint: self.listing.versions.get(&version)?.fingerprint })
    }

    fn rests(&self, key: Key) -> bool {
        self.digests.get(&key).is_some_and(|digest| self.wish.resting.contains(digest))
    }

    /// What the rollout is to be told, where that is new.
    pub(super) fn seen(&mut self) -> Option<Seen> {
        if !self.heard || self.listing.versions.is_empty() {
            return None;
        }
        let version = |key: Key| {
            let digest = self.digests.get(&key)?.clone();
            Some(Version { name: key.version.to_string(), digest })
        };
        let served = |track: Track| self.tracks[track as usize].served.as_ref().map(|(key, _)| *key);
        let stable = match &self.listing.aliases {
            Some(_) => self.wanted(&self.settings.stable),
            None => served(Track::Stable),
        };
        let wanted = self.wanted(&self.settings.canary);
        let canary = match wanted.map(|key| (key, version(key))) {
            None => SeenCanary::None,
            Some((_, None)) => SeenCanary::Unknown,
            Some((key, Some(version))) if served(Track::Canary) == Some(key) => SeenCanary::Ready(version),
            Some((key, Some(version))) => match self.failures.get(&key) {
                Some(failure) if !self.rests(key) => SeenCanary::Unfit(version, failure.error.clone()),
                _ => SeenCanary::Known(version),
            },
        };
        let seen = Seen { at: self.asked, stable: stable.and_then(version), canary };
        (self.told.as_ref() != Some(&seen)).then(|| self.told.insert(seen).clone())
    }

    /// Brings the tracks as far as possible without loading; gives what has to be loaded next, if anything.
    pub(super) fn advance(&mut self, wish: &Wish, now: Instant) -> Option<Order> {
        self.wish = wish.clone();
        self.forget_failures();
        if !self.heard || (self.listing.versions.is_empty() && self.listing.error.is_some()) {
            return None;
        }
        for track in Track::ALL {
            let at = |track: Track| self.tracks[track as usize].served.as_ref().map(|(key, _)| *key);
            let other = if track == Track::Stable { Track::Canary } else { Track::Stable };
            let selector = self.selector(track);
            if track == Track::Canary
                && let Some(key) = self.wanted(&selector).filter(|key| self.rests(*key))
            {
                if self.drop_track(track) {
                    metrics::set_state(&self.settings.name, key.version, "quarantined");
                }
                self.failures.remove(&key);
                self.report_problem(track, None);
                continue;
            }
            let view = TrackView {
                selector: &selector,
                loaded: at(track),
                other: at(other),
                optional: track == Track::Canary,
            };
            let next = step(&view, &self.listing, &self.failures, now);
            let problem = if let Step::Stuck(problem) = &next { Some(problem.clone()) } else { None };
            self.report_problem(track, problem);
            match next {
                Step::Keep | Step::Wait | Step::Stuck(_) => {}
                Step::Drop => _ = self.drop_track(track),
                Step::Take(key) => self.take(track, other, key),
                Step::Load(key) => {
                    if self.loading.is_none()
                        && let Some(listed) = self.listing.versions.get(&key.version).cloned()
                    {
                        let download = Download::new(&self.settings.name, key.version);
                        self.loading = Some((track, key, download.clone()));
                        metrics::set_state(&self.settings.name, key.version, "loading");
                        let again = self.failures.contains_key(&key);
                        let resting = if track == Track::Canary { self.wish.resting.clone() } else { BTreeSet::new() };
                        return Some(Order { track, key, listed, resting, download, again });
                    }
                }
            }
        }
        None
    }

    /// What nobody wants any more has not failed.
    fn forget_failures(&mut self) {
        if self.failures.is_empty() {
            return;
        }
        let wanted = Track::ALL.map(|track| candidates(&self.selector(track), &self.listing));
        let (failures, name) = (&mut self.failures, &self.settings.name);
        failures.retain(|key, _| {
            let is_wanted = wanted.iter().flatten().any(|version| *version == key.version);
            if !is_wanted {
                metrics::set_state(name, key.version, "unloaded");
            }
            is_wanted
        });
    }

    fn report_problem(&mut self, track: Track, problem: Option<Problem>) {
        let state = &mut self.tracks[track as usize];
        if state.problem != problem {
            // A load that failed was told when it did.
            let told = |problem: &&Problem| self.failures.values().any(|failure| failure.error == problem.message);
            if let Some(problem) = problem.as_ref().filter(|problem| !told(problem)) {
                tracing::warn!(model = self.settings.name, %track, "{}", problem.message);
            }
            state.problem = problem;
        }
    }

    /// Whether there was something.
    fn drop_track(&mut self, track: Track) -> bool {
        let dropped = self.tracks[track as usize].served.take();
        if let Some((key, _)) = &dropped {
            self.note_unloaded(*key);
            tracing::info!(model = self.settings.name, version = key.version, %track, "unloaded");
        }
        dropped.is_some()
    }

    /// A promoted canary is stable's already: the two tracks share it until the canary alias goes.
    fn take(&mut self, track: Track, other: Track, key: Key) {
        if track == Track::Canary {
            // canary = stable is no canary.
            self.drop_track(Track::Canary);
            return;
        }
        if let Some((_, served)) = self.tracks[other as usize].served.take() {
            let loaded = Loaded { key, runtime: served.runtime.clone(), executions: served.executions.clone() };
            self.serve(track, &loaded);
        }
    }

    fn serve(&mut self, track: Track, loaded: &Loaded) {
        let name = &self.settings.name;
        let (runtime, executions) = (loaded.runtime.clone(), loaded.executions.clone());
        let served = Served::new((name, loaded.key.version, track), runtime, executions, self.cache.clone());
        tracing::info!(
            model = name,
            version = loaded.key.version,
            %track,
            digest = loaded.runtime.digest(),
            mode = ?loaded.runtime.mode(),
            sessions = loaded.runtime.sessions(),
            "serving"
        );
        let before = self.tracks[track as usize].served.replace((loaded.key, Arc::new(served)));
        if let Some((key, _)) = before.filter(|(key, _)| key.version != loaded.key.version) {
            self.note_unloaded(key);
        }
    }

    fn note_unloaded(&self, key: Key) {
        let elsewhere = self.tracks.iter().any(|track| track.served.as_ref().is_some_and(|(other, _)| *other == key));
        if !elsewhere {
            metrics::set_state(&self.settings.name, key.version, "unloaded");
            metrics::set_version(&self.settings.name, key.version, 0, false, 0);
        }
    }

    /// A load has ended.
    pub(super) fn finish(&mut self, track: Track, key: Key, result: Result<Loaded, Failed>, now: Instant) {
        self.loading = None;
        match result {
            Ok(loaded) => {
                self.failures.remove(&key);
                self.digests.insert(key, loaded.runtime.digest().to_owned());
                if is_wanted(&self.selector(track), &self.listing, key) {
                    metrics::set_state(&self.settings.name, key.version, "ready");
                    self.serve(track, &loaded);
                } else {
                    tracing::info!(model = self.settings.name, version = key.version, %track, "loaded in vain");
                    self.note_unloaded(key);
                }
            }
            Err(Failed { rests: true, digest, .. }) => {
                self.digests.extend(digest.map(|digest| (key, digest)));
                tracing::info!(model = self.settings.name, version = key.version, "not tried: a rollout took it out");
                metrics::set_state(&self.settings.name, key.version, "quarantined");
            }
            Err(Failed { error, longest, digest, .. }) => {
                self.digests.extend(digest.map(|digest| (key, digest)));
                metrics::set_state(&self.settings.name, key.version, "failed");
                let failure = Failure::after(self.failures.get(&key), error, now, longest, fastrand::f64());
                tracing::error!(
                    model = self.settings.name,
                    version = key.version,
                    %track,
                    attempts = failure.attempts,
                    error = failure.error,
                    serving = self.tracks[Track::Stable as usize].served.as_ref().map(|(key, _)| key.version),
                    "a version could not be loaded"
                );
                self.failures.insert(key, failure);
            }
        }
    }

    /// What requests and /health/all see.
    pub(super) fn entry(&self) -> ModelEntry {
        let served = |track: Track| self.tracks[track as usize].served.as_ref().map(|(_, served)| served.clone());
        let mut versions = Vec::new();
        for track in Track::ALL {
            let state = &self.tracks[track as usize];
            let serving = state.served.as_ref();
            if let Some((key, served)) = serving {
                let own = state.problem.as_ref().filter(|problem| problem.version == Some(key.version));
                versions.push(VersionReport {
                    version: key.version,
                    track,
                    digest: Some(served.runtime.digest().to_owned()),
                    state: "ready",
                    error: own.map(|problem| problem.message.clone()),
                    download: None,
                });
            }
            if let Some((_, key, download)) = self.loading.as_ref().filter(|(loading, ..)| *loading == track) {
                let (version, download) = (key.version, Some(download.clone()));
                versions.push(VersionReport { version, track, digest: None, state: "loading", error: None, download });
            } else if let Some(problem) = &state.problem
                && let Some(version) =
                    problem.version.filter(|version| serving.is_none_or(|(key, _)| key.version != *version))
            {
                let error = Some(problem.message.clone());
                let state = "failed";
                versions.push(VersionReport { version, track, digest: None, state, error, download: None });
            }
        }
        if let Some(key) = self.wanted(&self.settings.canary).filter(|key| self.rests(*key)) {
            versions.push(VersionReport {
                version: key.version,
                track: Track::Canary,
                digest: self.digests.get(&key).cloned(),
                state: "quarantined",
                error: None,
                download: None,
            });
        }
        let unversioned =
            self.tracks.iter().filter_map(|track| track.problem.as_ref()).find(|problem| problem.version.is_none());
        let (stable, canary) = (served(Track::Stable), served(Track::Canary));
        let signature = |served: &Option<Arc<Served>>| served.as_ref().map(|served| served.runtime.signature().clone());
        ModelEntry {
            required: self.required,
            same_signature: signature(&stable) == signature(&canary),
            stable,
            canary,
            route: Some(self.route.clone()),
            versions,
            error: self.listing.error.clone().or_else(|| unversioned.map(|problem| problem.message.clone())),
        }
    }
}
