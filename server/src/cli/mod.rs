//! The command line. Results go to stdout, messages to stderr; exit codes are 0 done, 1 failed while running, 64 wrong
//! usage or configuration, 69 a needed service or library is missing.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's results and messages")]

mod config;
mod healthcheck;
mod loader;
mod models;
mod options;
mod rollout;
mod serve;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use perch_models::backend::{Device, Loader};

/// How a command ended, when not well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed while running: 1.
    Failed(String),
    /// Wrong usage or configuration: 64.
    Usage(String),
    /// A needed service or library is missing: 69.
    Missing(String),
}

pub(crate) type Outcome = Result<(), Failure>;

/// Starts the library that runs models, from the configured path if any, for models on these devices. The error says
/// what to run.
pub type StartLoader = fn(Option<&Path>, &[Device]) -> Result<Arc<dyn Loader>, String>;

/// A model server that rolls new model versions out safely.
#[derive(Parser)]
#[command(name = "perch", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve models over HTTP.
    Serve(options::Options),
    /// List, verify and pull models, and change which versions serve.
    Models(models::ModelsCommand),
    /// Look at rollouts and steer them, on a running server.
    Rollout(rollout::RolloutCommand),
    /// Check or print the configuration.
    Config(config::ConfigCommand),
    /// Exit 0 when a running server is ready: for container health checks.
    Healthcheck(healthcheck::Healthcheck),
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the command line of this process.
#[must_use]
pub fn main(start_loader: StartLoader) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match cli.command {
        Command::Serve(options) => serve::run(&options, start_loader),
        Command::Models(command) => models::run(&command, start_loader),
        Command::Rollout(command) => rollout::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Healthcheck(command) => healthcheck::run(&command),
    };
    let (message, code) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => (message, 1),
        Err(Failure::Usage(message)) => (message, 64),
        Err(Failure::Missing(message)) => (message, 69),
    };
    eprintln!("perch: {message}");
    ExitCode::from(code)
}
