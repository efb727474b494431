//! Which version of a model a track serves.

use std::fmt;

use super::{ModelListing, VersionListing};

/// How the configuration names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Whatever carries this alias.
    Alias(String),
    /// The highest version in this stage, as MLflow's registry had them before aliases: `Production`, `Staging`. Case
    /// does not count.
    Stage(String),
    /// This version.
    Version(u64),
    /// The highest version that loads.
    Latest,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "alias {alias}"),
            Self::Stage(stage) => write!(f, "stage {stage}"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// Versions that `selector` means, the most wanted first: the first that loads is served.
///
/// A model without any aliases serves its highest version as `stable` and has no other track.
#[must_use]
pub fn candidates(selector: &Selector, model: &ModelListing) -> Vec<u64> {
    let highest_first = || model.versions.keys().rev().copied().collect();
    let in_stage = |stage: &str| {
        let has = |listed: &VersionListing| listed.stage.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(stage));
        model.versions.iter().rev().find(|(_, listed)| has(listed)).map(|(version, _)| *version)
    };
    match (selector, &model.aliases) {
        (Selector::Stage(stage), _) => in_stage(stage).into_iter().collect(),
        (Selector::Version(version), _) => vec![*version],
        (Selector::Latest, _) => highest_first(),
        (Selector::Alias(alias), Some(aliases)) => aliases.get(alias).copied().into_iter().collect(),
        (Selector::Alias(alias), None) if alias == "stable" => highest_first(),
        (Selector::Alias(_), None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(aliases: Option<&[(&str, u64)]>) -> ModelListing {
        let stage = |number| (number < 3).then(|| "Production".to_owned());
        let version = |number| VersionListing {
            fingerprint: 0,
            settled: true,
            stage: stage(number),
            ..VersionListing::default()
        };
        ModelListing {
            versions: (1..=3).map(|number| (number, version(number))).collect(),
            aliases: aliases.map(|aliases| aliases.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect()),
            error: None,
        }
    }

    #[test]
    fn an_alias_means_its_version_and_nothing_else() {
        let stable = Selector::Alias("stable".into());
        assert_eq!(candidates(&stable, &model(Some(&[("stable", 2)]))), [2]);
        assert!(candidates(&stable, &model(Some(&[]))).is_empty(), "no alias, no version");
        assert!(candidates(&Selector::Alias("canary".into()), &model(None)).is_empty());
    }

    #[test]
    fn a_stage_means_its_highest_version() {
        assert_eq!(candidates(&Selector::Stage("production".into()), &model(None)), [2]);
        assert!(candidates(&Selector::Stage("Staging".into()), &model(None)).is_empty());
    }

    #[test]
    fn without_aliases_stable_is_the_highest_that_loads() {
        assert_eq!(candidates(&Selector::Alias("stable".into()), &model(None)), [3, 2, 1]);
        assert_eq!(candidates(&Selector::Latest, &model(Some(&[("stable", 1)]))), [3, 2, 1]);
        assert_eq!(candidates(&Selector::Version(7), &model(None)), [7]);
    }
}
