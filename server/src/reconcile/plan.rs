//! What to do next for one model: pure, from what the registry lists, what is loaded and what has failed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use perch_models::registry::{ModelListing, Selector, candidates};

/// One state of one version's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) version: u64,
    pub(super) fingerprint: u64,
}

/// A load that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) retry_at: Instant,
}

impl Failure {
    /// One more failure of the same files: 1 s, 2 s, 4 s … to `longest`. `jitter`, from 0 to 1, makes it up to a fifth
    /// shorter: replicas that failed together shall not come again together.
    pub(super) fn after(before: Option<&Self>, error: String, now: Instant, longest: Duration, jitter: f64) -> Self {
        let attempts = before.map_or(1, |failure| failure.attempts.saturating_add(1));
        let delay = Duration::from_secs(1 << (attempts - 1).min(16)).min(longest);
        Self { error, attempts, retry_at: now + delay.mul_f64(1.0 - jitter / 5.0) }
    }
}

pub(super) type Failures = HashMap<Key, Failure>;

/// What one track should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// What is loaded is what is wanted.
    Keep,
    /// Nothing can be done now; what is loaded goes on serving, and this is what is wrong.
    Stuck(Problem),
    /// Its files are still being written.
    Wait,
    /// Load this.
    Load(Key),
    /// The other track has it loaded already.
    Take(Key),
    /// Nothing is wanted here any more.
    Drop,
}

/// What keeps a track from the version that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) version: Option<u64>,
    pub(super) message: String,
}

/// One track as it is.
pub(super) struct TrackView<'t> {
    pub(super) selector: &'t Selector,
    /// What it serves.
    pub(super) loaded: Option<Key>,
    /// What the other track serves.
    pub(super) other: Option<Key>,
    /// Whether it may be empty: a canary may, stable keeps what it has.
    pub(super) optional: bool,
}

/// Whether `key` may serve under `selector` by what the registry lists now.
pub(super) fn is_wanted(selector: &Selector, model: &ModelListing, key: Key) -> bool {
    let listed = |version: &u64| model.versions.get(version).is_some_and(|now| now.fingerprint == key.fingerprint);
    candidates(selector, model).contains(&key.version) && listed(&key.version)
}

/// Decides for one track.
pub(super) fn step(view: &TrackView<'_>, model: &ModelListing, failures: &Failures, now: Instant) -> Step {
    let wanted = candidates(view.selector, model);
    if wanted.is_empty() {
        let serving = view.loaded.map(|key| format!(", still serving version {}", key.version)).unwrap_or_default();
        let stuck = |message: String| Step::Stuck(Problem { version: None, message: message + &serving });
        return match view {
            TrackView { optional: true, loaded: Some(_), .. } => Step::Drop,
            TrackView { optional: true, .. } => Step::Keep,
            _ if model.versions.is_empty() => stuck("it has no versions".to_owned()),
            _ => stuck(format!("no version carries the {}", view.selector)),
        };
    }
    let mut problem = None;
    for version in wanted {
        let Some(listed) = model.versions.get(&version) else {
            let going_on =
                if view.loaded.is_some_and(|key| key.version == version) { ", still serving it" } else { "" };
            let message = format!("version {version} is not in the registry{going_on}");
            problem.get_or_insert(Problem { version: Some(version), message });
            continue;
        };
        let key = Key { version, fingerprint: listed.fingerprint };
        if view.loaded == Some(key) {
            return problem.map_or(Step::Keep, Step::Stuck);
        }
        if view.other == Some(key) {
            return Step::Take(key);
        }
        if !listed.settled {
            return Step::Wait;
        }
        match failures.get(&key) {
            Some(failure) if now < failure.retry_at => {
                problem.get_or_insert(Problem { version: Some(version), message: failure.error.clone() });
            }
            _ => return Step::Load(key),
        }
    }
    problem.map_or(Step::Keep, Step::Stuck)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::registry::VersionListing;

    fn listing(versions: &[(u64, u64, bool)], aliases: Option<&[(&str, u64)]>) -> ModelListing {
        let version = |(version, fingerprint, settled): &(u64, u64, bool)| {
            (*version, VersionListing { fingerprint: *fingerprint, settled: *settled, ..VersionListing::default() })
        };
        ModelListing {
            versions: versions.iter().map(version).collect(),
            aliases: aliases.map(|aliases| aliases.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect()),
            error: None,
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    const fn key(version: u64, fingerprint: u64) -> Key {
        Key { version, fingerprint }
    }

    fn stable(loaded: Option<Key>, other: Option<Key>, model: &ModelListing, failures: &Failures) -> Step {
        let selector = Selector::Alias("stable".into());
        let view = TrackView { selector: &selector, loaded, other, optional: false };
        step(&view, model, failures, Instant::now())
    }

    fn failed(key: Key, retry_in: Duration) -> Failures {
        [(key, Failure { error: "broken".into(), attempts: 1, retry_at: Instant::now() + retry_in })].into()
    }

    #[test]
    fn a_moved_alias_loads_and_a_reached_one_keeps() {
        let model = listing(&[(1, 10, true), (2, 20, true)], Some(&[("stable", 2)]));
        assert_eq!(stable(Some(key(1, 10)), None, &model, &Failures::new()), Step::Load(key(2, 20)));
        assert_eq!(stable(Some(key(2, 20)), None, &model, &Failures::new()), Step::Keep);
        assert_eq!(stable(Some(key(1, 10)), Some(key(2, 20)), &model, &Failures::new()), Step::Take(key(2, 20)));
    }

    #[test]
    fn files_that_changed_are_another_state_of_the_version() {
        let model = listing(&[(1, 11, true)], Some(&[("stable", 1)]));
        assert_eq!(stable(Some(key(1, 10)), None, &model, &Failures::new()), Step::Load(key(1, 11)));
        let writing = listing(&[(1, 11, false)], Some(&[("stable", 1)]));
        assert_eq!(stable(Some(key(1, 10)), None, &writing, &Failures::new()), Step::Wait);
    }

    #[test]
    fn a_failed_version_is_tried_again_only_when_its_time_has_come() {
        let model = listing(&[(1, 10, true), (2, 20, true)], Some(&[("stable", 2)]));
        let waiting = failed(key(2, 20), Duration::from_secs(5));
        let stuck = Step::Stuck(Problem { version: Some(2), message: "broken".into() });
        assert_eq!(stable(Some(key(1, 10)), None, &model, &waiting), stuck);
        assert_eq!(stable(Some(key(1, 10)), None, &model, &failed(key(2, 20), Duration::ZERO)), Step::Load(key(2, 20)));
        let mended = listing(&[(1, 10, true), (2, 21, true)], Some(&[("stable", 2)]));
        assert_eq!(stable(Some(key(1, 10)), None, &mended, &waiting), Step::Load(key(2, 21)));
    }

    #[test]
    fn without_aliases_the_highest_that_loads_serves() {
        let model = listing(&[(1, 10, true), (2, 20, true)], None);
        let broken = failed(key(2, 20), Duration::from_secs(5));
        assert_eq!(stable(None, None, &model, &Failures::new()), Step::Load(key(2, 20)));
        assert_eq!(stable(None, None, &model, &broken), Step::Load(key(1, 10)));
        assert!(matches!(stable(Some(key(1, 10)), None, &model, &broken), Step::Stuck(_)));
    }

    #[test]
    fn nothing_takes_away_what_works() {
        let gone = listing(&[], Some(&[("stable", 1)]));
        let Step::Stuck(problem) = stable(Some(key(1, 10)), None, &gone, &Failures::new()) else { panic!("stuck") };
        assert_eq!(problem.message, "version 1 is not in the registry, still serving it");
        let unaliased = listing(&[(1, 10, true)], Some(&[]));
        let Step::Stuck(problem) = stable(Some(key(1, 10)), None, &unaliased, &Failures::new()) else {
            panic!("stuck")
        };
        assert_eq!(problem.message, "no version carries the alias stable, still serving version 1");
    }

    #[test]
    fn a_canary_is_dropped_with_its_alias() {
        let selector = Selector::Alias("canary".into());
        let model = listing(&[(1, 10, true)], Some(&[("stable", 1)]));
        let view = |loaded| TrackView { selector: &selector, loaded, other: None, optional: true };
        assert_eq!(step(&view(Some(key(2, 20))), &model, &Failures::new(), Instant::now()), Step::Drop);
        assert_eq!(step(&view(None), &model, &Failures::new(), Instant::now()), Step::Keep);
    }

    #[test]
    fn a_version_that_was_loaded_in_vain_is_not_wanted() {
        let selector = Selector::Alias("stable".into());
        let model = listing(&[(1, 10, true), (2, 20, true)], Some(&[("stable", 2)]));
        assert!(is_wanted(&selector, &model, key(2, 20)));
        assert!(!is_wanted(&selector, &model, key(1, 10)), "the alias has moved on");
        assert!(!is_wanted(&selector, &model, key(2, 21)), "the files have changed");
    }

    #[test]
    fn retries_back_off_to_a_minute() {
        let now = Instant::now();
        let mut failure = Failure::after(None, String::new(), now, MINUTE, 0.0);
        let mut delays = vec![failure.retry_at - now];
        for _ in 0..8 {
            failure = Failure::after(Some(&failure), String::new(), now, MINUTE, 0.0);
            delays.push(failure.retry_at - now);
        }
        assert_eq!(delays.iter().map(Duration::as_secs).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Failure::after(None, String::new(), now, MINUTE, 1.0).retry_at - now, Duration::from_millis(800));
    }
}
