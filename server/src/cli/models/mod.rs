//! `perch models`: what the registry holds, whether it loads, and which version its aliases name.
//!
//! Every command works on a folder and on MLflow alike. Names are those on the wire; a model that is named on the
//! command line is looked for whether the configuration lists it or not.

mod alias;
mod catalog;
mod choose;
mod list;
mod log;
mod moves;
mod place;
mod progress;
mod promote;
mod pull;
mod rollback;
pub(super) mod table;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use perch_models::artifact::Artifact;
use perch_models::digest::Known;

use super::{Failure, Outcome, StartLoader};

/// Look at the registry, bring models here, and change which versions serve.
#[derive(Args)]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List models with their versions, aliases and digests.
    ///
    /// The digest of a version in MLflow is that of its tag perch.sha256, and its state that of perch.state: nothing is
    /// downloaded. Digests are shown in part; --output json has them whole. Exits 1 when an entry is broken.
    List(list::List),
    /// Load and warm up versions, and say what is wrong with those that fail.
    ///
    /// Of a folder that is every version, of MLflow those that stable and canary select. Files are fetched and verified
    /// first. Exits 1 when one of them cannot be served.
    Verify(verify::Verify),
    /// Download what stable and canary select into the cache, and verify it.
    ///
    /// A server then starts without a download, and also while the registry is away. A pull that was interrupted goes on
    /// where it was.
    Pull(pull::Pull),
    /// Print the digest of a version's folder.
    Digest {
        /// The folder that holds model.onnx.
        dir: PathBuf,
    },
    /// Set or delete an alias.
    #[command(subcommand)]
    Alias(alias::AliasAction),
    /// Make a version the one that serves.
    ///
    /// The canary's version, or the one that is given, becomes stable: the alias `stable` is pointed to it, or whatever
    /// alias or stage the configuration has in its place. The alias `previous` is set first to where stable was, for
    /// `perch models rollback`, and a canary alias that names the promoted version is removed.
    Promote(promote::Promote),
    /// Let the version serve that did before.
    ///
    /// Stable goes to where the alias `previous` is, and `previous` to where stable was: a second rollback undoes the
    /// first.
    Rollback(rollback::Rollback),
}

pub(super) fn run(command: &ModelsCommand, start_loader: StartLoader) -> Outcome {
    if let Action::Digest { dir } = &command.action {
        let artifact = Artifact::open(dir, &Known::new()).map_err(|error| Failure::Failed(error.to_string()))?;
        println!("{}", artifact.digest);
        return Ok(());
    }
    // One command does one thing at a time, and may block while it does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match &command.action {
            Action::List(list) => list.run().await,
            Action::Verify(verify) => verify.run(start_loader).await,
            Action::Pull(pull) => pull.run().await,
            Action::Alias(alias) => alias.run().await,
            Action::Promote(promote) => promote.run().await,
            Action::Rollback(rollback) => rollback.run().await,
            Action::Digest { .. } => Ok(()),
        }
    })
}

/// Prints results for programs.
fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

/// A few of many, for a message.
fn some_of<T: ToString>(all: &[T]) -> String {
    const SHOWN: usize = 12;
    let last: Vec<String> = all.iter().skip(all.len().saturating_sub(SHOWN)).map(T::to_string).collect();
    let left_out = all.len() - last.len();
    if left_out == 0 { last.join(", ") } else { format!("{} and {left_out} more", last.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_shown_in_part() {
        assert_eq!(some_of(&[1, 2, 3]), "1, 2, 3");
        let many: Vec<u64> = (1..=100).collect();
        assert_eq!(some_of(&many), "89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100 and 88 more");
    }
}
