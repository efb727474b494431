//! `perch models alias`.

use clap::{Args, Subcommand};
use perch_models::registry::{Change, PREVIOUS, Selector};

use super::catalog::{Entry, one};
use super::log;
use super::moves::{self, Moved, is_stable};
use super::place::Place;
use crate::cli::{Outcome, Output};

#[derive(Subcommand)]
pub(super) enum AliasAction {
    /// Point an alias to a version.
    ///
    /// Setting the canary alias is what starts a rollout. Before the alias that serves is moved, `previous` is set to
    /// where it was, for `perch models rollback`.
    Set(Set),
    /// Remove an alias; one that is not there is none to remove, which is no failure.
    ///
    /// Before the alias that serves is removed, `previous` is set to where it was. A server goes on with what it has
    /// loaded; one that starts then has nothing to serve.
    Delete(Delete),
}

#[derive(Args)]
pub(super) struct Set {
    #[command(flatten)]
    place: Place,
    /// The model.
    name: String,
    /// The alias, such as stable or canary.
    alias: String,
    /// The version.
    version: u64,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Args)]
pub(super) struct Delete {
    #[command(flatten)]
    place: Place,
    /// The model.
    name: String,
    /// The alias.
    alias: String,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl AliasAction {
    pub(super) async fn run(&self) -> Outcome {
        match self {
            Self::Set(set) => set.run().await,
            Self::Delete(delete) => delete.run().await,
        }
    }
}

/// The model that a command names.
pub(super) async fn named(place: &Place, name: &str, version: Option<u64>) -> Result<Entry, crate::cli::Failure> {
    let config = place.load(&[name.to_owned()])?;
    log::start(&config, &indicatif::MultiProgress::new())?;
    one(&config, &place.load(&[])?, version).await
}

impl Set {
    async fn run(&self) -> Outcome {
        let mut entry = named(&self.place, &self.name, Some(self.version)).await?;
        entry.require(self.version)?;
        let target = Selector::Alias(self.alias.clone());
        let moved = moves::to(&mut entry, &target, self.version).await?;
        moved.print(self.output);
        if entry.model.canary == target && entry.tracks().stable == Some(self.version) {
            eprintln!("perch: version {} is stable, so that it is no canary", self.version);
        }
        Ok(())
    }
}

impl Delete {
    async fn run(&self) -> Outcome {
        let entry = named(&self.place, &self.name, None).await?;
        let target = Selector::Alias(self.alias.clone());
        let from = entry.alias(&self.alias);
        let previous = from.filter(|_| is_stable(&entry, &target) && self.alias != PREVIOUS);
        if let Some(version) = previous {
            entry.write(Change::SetAlias { alias: PREVIOUS.to_owned(), version }).await?;
        }
        if from.is_some() {
            entry.write(Change::DeleteAlias { alias: self.alias.clone() }).await?;
        }
        let model = entry.model.name.clone();
        Moved { model, target, from, to: None, previous, removed: Vec::new(), back: None }.print(self.output);
        Ok(())
    }
}
