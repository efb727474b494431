//! `perch config check` and `perch config print`.

use clap::{Args, Subcommand};

use super::options::Options;
use super::{Outcome, Output};

/// Check or print the configuration.
#[derive(Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Exit 0 when the configuration is right, else list everything that is wrong.
    Check(Options),
    /// Print the merged configuration and where each value comes from.
    Print {
        #[command(flatten)]
        options: Options,
        /// The form of the result.
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

pub(super) fn run(command: &ConfigCommand) -> Outcome {
    match &command.action {
        Action::Check(options) => {
            options.load()?;
            println!("the configuration is right");
        }
        Action::Print { options, output } => {
            let loaded = options.load()?;
            match output {
                Output::Text => print!("{}", loaded.to_yaml()),
                Output::Json => println!("{:#}", loaded.to_json()),
            }
        }
    }
    Ok(())
}
