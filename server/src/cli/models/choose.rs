//! Which versions of a model the tracks select, by what is listed alone.

use perch_models::registry::{ModelListing, STATE_TAG, Selector, candidates};

use crate::config::Model;

/// The versions of a model's tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tracks {
    pub(super) stable: Option<u64>,
    pub(super) canary: Option<u64>,
}

impl Tracks {
    /// What the tracks of `model` select among the versions that are listed, those in `broken` only where nothing else
    /// is wanted. A canary that is stable is none.
    pub(super) fn of(model: &Model, listing: &ModelListing, broken: &[u64]) -> Self {
        let stable = choose(&model.stable, listing, broken);
        let canary = choose(&model.canary, listing, broken).filter(|canary| Some(*canary) != stable);
        Self { stable, canary }
    }

    /// The track of a version.
    pub(super) fn name(self, version: u64) -> Option<&'static str> {
        if self.stable == Some(version) { Some("stable") } else { (self.canary == Some(version)).then_some("canary") }
    }

    /// Stable first.
    pub(super) fn versions(self) -> Vec<u64> {
        self.stable.into_iter().chain(self.canary).collect()
    }
}

/// The version that `selector` means: the first wanted one that did not fail when it was last loaded.
pub(super) fn choose(selector: &Selector, listing: &ModelListing, broken: &[u64]) -> Option<u64> {
    let mut wanted = candidates(selector, listing);
    wanted.retain(|version| listing.versions.contains_key(version));
    let failed = |version: &u64| {
        let state = listing.versions.get(version).and_then(|listed| listed.tags.get(STATE_TAG));
        state.is_some_and(|state| state == "failed") || broken.contains(version)
    };
    wanted.iter().find(|version| !failed(version)).or(wanted.first()).copied()
}

/// Why a model has nothing to serve, if so.
pub(super) fn unserved(model: &Model, listing: &ModelListing) -> Option<String> {
    let wanted = candidates(&model.stable, listing);
    match wanted.first() {
        _ if listing.versions.is_empty() => Some("it has no versions".to_owned()),
        None => Some(format!("no version carries the {}, which serves", model.stable)),
        Some(_) => gone(&model.stable, listing),
    }
}

/// The version that a selector names and that is not there, in words.
pub(super) fn gone(selector: &Selector, listing: &ModelListing) -> Option<String> {
    let wanted = candidates(selector, listing);
    let version = wanted.first().filter(|_| !wanted.iter().any(|version| listing.versions.contains_key(version)))?;
    Some(match selector {
        Selector::Alias(alias) => format!("alias {alias} names version {version}, which is not there"),
        _ => format!("version {version} is not there"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::registry::VersionListing;

    fn listing(versions: &[u64], aliases: Option<&[(&str, u64)]>, failed: &[u64]) -> ModelListing {
        let version = |version: &u64| {
            let state = failed.contains(version).then(|| (STATE_TAG.to_owned(), "failed".to_owned()));
            (*version, VersionListing { tags: state.into_iter().collect(), ..VersionListing::default() })
        };
        ModelListing {
            versions: versions.iter().map(version).collect(),
            aliases: aliases.map(|aliases| aliases.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect()),
            error: None,
        }
    }

    fn tracks(listing: &ModelListing) -> (Option<u64>, Option<u64>) {
        let tracks = Tracks::of(&Model::named("m"), listing, &[]);
        (tracks.stable, tracks.canary)
    }

    #[test]
    fn tracks_are_what_aliases_say() {
        assert_eq!(tracks(&listing(&[1, 2], Some(&[("stable", 1), ("canary", 2)]), &[])), (Some(1), Some(2)));
        assert_eq!(tracks(&listing(&[1, 2], Some(&[("stable", 2), ("canary", 2)]), &[])), (Some(2), None));
        assert_eq!(tracks(&listing(&[1, 2], Some(&[("stable", 1)]), &[1])), (Some(1), None), "failed, but named");
        assert_eq!(tracks(&listing(&[1], Some(&[("stable", 7)]), &[])), (None, None));
    }

    #[test]
    fn without_aliases_the_highest_that_did_not_fail_is_stable() {
        assert_eq!(tracks(&listing(&[1, 2, 3], None, &[3])), (Some(2), None));
        assert_eq!(tracks(&listing(&[1, 2], None, &[1, 2])), (Some(2), None), "it may load by now");
        let tracks = Tracks::of(&Model::named("m"), &listing(&[1, 2, 3], None, &[3]), &[2]);
        assert_eq!((tracks.versions(), tracks.name(1), tracks.name(3)), (vec![1], Some("stable"), None));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let told = |listing: &ModelListing| unserved(&Model::named("m"), listing).unwrap_or_default();
        assert_eq!(told(&listing(&[], None, &[])), "it has no versions");
        assert_eq!(told(&listing(&[1], Some(&[]), &[])), "no version carries the alias stable, which serves");
        assert_eq!(
            told(&listing(&[1], Some(&[("stable", 7)]), &[])),
            "alias stable names version 7, which is not there"
        );
        assert_eq!(told(&listing(&[1], None, &[])), "");
        let one = listing(&[1], Some(&[]), &[]);
        assert_eq!(gone(&Selector::Version(7), &one).as_deref(), Some("version 7 is not there"));
    }
}
