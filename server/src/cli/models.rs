//! `perch models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use perch_models::artifact::Artifact;
use perch_models::digest::Known;

use super::{Failure, Outcome, StartLoader};

/// Look at the registry and change its aliases.
#[derive(Args)]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the digest of a version's folder.
    Digest {
        /// The folder that holds model.onnx.
        dir: PathBuf,
    },
}

pub(super) fn run(command: &ModelsCommand, _start_loader: StartLoader) -> Outcome {
    match &command.action {
        Action::Digest { dir } => {
            let artifact = Artifact::open(dir, &Known::new()).map_err(|error| Failure::Failed(error.to_string()))?;
            println!("{}", artifact.digest);
            Ok(())
        }
    }
}
