//! `perch models promote`.

use std::str::FromStr;

use clap::Args;
use perch_models::registry::{Change, ERROR_TAG, STATE_TAG, Selector};

use super::alias::named;
use super::catalog::Entry;
use super::moves::{self, is_stable};
use super::place::{Named, Place};
use crate::cli::{Failure, Outcome, Output};

#[derive(Args)]
pub(super) struct Promote {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    model: Named,
    /// The version: a number, or latest; the canary's when not given.
    #[arg(long, value_name = "NUMBER")]
    version: Option<Wanted>,
    /// Move it to this stage, such as Production, and archive what is there. MLflow only.
    #[arg(long, conflicts_with = "alias")]
    stage: Option<String>,
    /// Point this alias to it, in place of the one that serves.
    #[arg(long)]
    alias: Option<String>,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// A version as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Number(u64),
    Latest,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            number => number.parse().map(Self::Number).map_err(|_| "expected a number or latest".to_owned()),
        }
    }
}

impl Promote {
    pub(super) async fn run(&self) -> Outcome {
        let number = if let Some(Wanted::Number(number)) = self.version { Some(number) } else { None };
        let mut entry = named(&self.place, self.model.get(), number).await?;
        let target = match (&self.stage, &self.alias) {
            (Some(stage), _) => Selector::Stage(stage.clone()),
            (None, Some(alias)) => Selector::Alias(alias.clone()),
            (None, None) => entry.model.stable.clone(),
        };
        let version = self.pick(&entry)?;
        warn_of_failed(&entry, version);
        let mut moved = moves::to(&mut entry, &target, version).await?;
        if is_stable(&entry, &target) {
            // The trial is over.
            if let Selector::Alias(canary) = &entry.model.canary
                && entry.alias(canary) == Some(version)
            {
                entry.write(Change::DeleteAlias { alias: canary.clone() }).await?;
                moved.removed.push(canary.clone());
            }
            if moved.previous.is_some() {
                let flags = self.place.flags(&self.place.load(&[])?);
                moved.back = Some(format!("perch models rollback {}{flags}", entry.model.name));
            }
        }
        moved.print(self.output);
        Ok(())
    }

    fn pick(&self, entry: &Entry) -> Result<u64, Failure> {
        let name = &entry.model.name;
        match self.version {
            Some(Wanted::Number(number)) => entry.require(number),
            Some(Wanted::Latest) => {
                let latest = entry.listing.versions.keys().next_back().copied();
                latest.ok_or_else(|| Failure::Failed(format!("{name} has no versions")))
            }
            None => entry.tracks().canary.ok_or_else(|| {
                let (canary, choices) = (&entry.model.canary, entry.choices());
                Failure::Failed(format!("{name} has no canary ({canary}): give --version {choices}, or latest"))
            }),
        }
    }
}

/// Whoever promotes may know better, but should know.
fn warn_of_failed(entry: &Entry, version: u64) {
    let tag = |key: &str| entry.listing.versions.get(&version).and_then(|listed| listed.tags.get(key));
    if tag(STATE_TAG).is_some_and(|state| state == "failed") {
        let error = tag(ERROR_TAG).filter(|error| !error.is_empty()).map_or("no reason was noted", String::as_str);
        eprintln!("perch: a server could not load version {version} when it last tried: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_or_the_latest() {
        assert_eq!("7".parse(), Ok(Wanted::Number(7)));
        assert_eq!("latest".parse(), Ok(Wanted::Latest));
        for odd in ["", "-1", "last", "1.5"] {
            assert!(odd.parse::<Wanted>().is_err(), "{odd}");
        }
    }
}
