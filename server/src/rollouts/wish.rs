//! What a rollout wants to be loaded, apart from what the aliases say.

use std::collections::BTreeSet;

use perch_router::rollout::{Phase, State, Version};

/// Wishes of one model's rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// What serves in spite of the alias `stable`, while that is on its way.
    pub hold: Option<Hold>,
    /// Digests that are not tried: nothing of them needs to be loaded.
    pub resting: BTreeSet<String>,
}

/// After a promotion, the old version stays stable for this server until the new one has held, so that going back takes
/// no load. After going back it stays so until the alias has gone back too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// What was stable.
    pub old: u64,
    /// What is promoted, or was.
    pub new: u64,
    /// Whether requests go to it.
    pub tried: bool,
}

impl Wish {
    /// What `state` wants at `now`.
    #[must_use]
    pub fn of(state: &State, now: f64) -> Self {
        let hold =
            |old: &Version, new: &Version, tried: bool| Some(Hold { old: number(old)?, new: number(new)?, tried });
        let hold = match &state.phase {
            Phase::Promoted { old: Some(old), new, .. } => hold(old, new, true),
            Phase::Demoted { version, back: Some(back), .. } | Phase::Aborted { version, back: Some(back), .. } => {
                hold(back, version, false)
            }
            _ => None,
        };
        let mut resting: BTreeSet<String> = state.quarantine.keys().cloned().collect();
        resting.retain(|digest| state.quarantined(digest, now).is_some());
        if let Phase::Demoted { version, .. } | Phase::Aborted { version, .. } = &state.phase {
            resting.insert(version.digest.clone());
        }
        Self { hold, resting }
    }
}

/// The number of a version.
pub(super) fn number(version: &Version) -> Option<u64> {
    version.name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_router::rollout::Reason;

    fn version(name: &str) -> Version {
        Version { name: name.to_owned(), digest: format!("sha256:{name}") }
    }

    #[test]
    fn a_promotion_holds_both_versions_and_what_was_taken_out_rests() {
        let promoted = Phase::Promoted { old: Some(version("1")), new: version("2"), moved: true, until: 9.0 };
        let state = State { phase: promoted, ..State::default() };
        assert_eq!(Wish::of(&state, 0.0).hold, Some(Hold { old: 1, new: 2, tried: true }));
        let back = Some(version("2"));
        let aborted = Phase::Aborted { version: version("3"), reason: Reason::Operator, at: 0.0, back };
        let quarantine = [("sha256:4".to_owned(), 10.0), ("sha256:5".to_owned(), 1.0)].into();
        let state = State { phase: aborted, quarantine, ..State::default() };
        assert_eq!(Wish::of(&state, 2.0).hold, Some(Hold { old: 2, new: 3, tried: false }));
        let resting: Vec<_> = Wish::of(&state, 2.0).resting.into_iter().collect();
        assert_eq!(resting, ["sha256:3", "sha256:4"]);
    }
}
