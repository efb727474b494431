//! `perch rollout`: a client of a running server's `/admin/rollouts`. It needs neither a configuration nor the library
//! that runs models.

mod client;
mod console;
mod get;
mod history;
mod list;
mod moves;
mod options;
mod render;
mod simulate;
mod view;
mod watch;
mod words;

#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

use self::console::Console;
use self::options::Surroundings;
use super::{Failure, Outcome};

/// Look at rollouts and steer them, on a running server.
#[derive(Args)]
pub(super) struct RolloutCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List every model with what is tried on it.
    List(list::List),
    /// Show one model's rollout: steps, metrics with their evidence, tracks, what happened last.
    Get(get::Get),
    /// Show one model's rollout as it goes on.
    ///
    /// On a terminal that is a screen; elsewhere one line per change and, while something is tried, at most one every
    /// five seconds. docs/watch.md explains every field.
    Watch(watch::Watch),
    /// Start the rollout of the canary now.
    Start(moves::Plain),
    /// Go on to the next step, or with --full make the canary stable at once.
    Promote(moves::Promote),
    /// Hold the rollout at its step; the canary keeps its weight and is still judged.
    Pause(moves::Plain),
    /// Go on from a pause or a suspension.
    Resume(moves::Plain),
    /// End the rollout: stable serves everything at once.
    Abort(moves::Plain),
    /// Try a version again that was demoted or aborted.
    Retry(moves::Retry),
    /// Set the canary's share of the traffic by hand.
    Weight(moves::Weight),
    /// List what happened to a model's rollouts: when, by whom, from which state to which, and why.
    History(history::History),
    /// Say how soon a policy demotes a bad canary, and how often a healthy one. No server is asked.
    Simulate(simulate::Simulate),
}

pub(super) fn run(command: &RolloutCommand) -> Outcome {
    if let Action::Simulate(simulate) = &command.action {
        return simulate::run(simulate);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(command.run(&Surroundings::of_process(), &mut Console::of_process()))
}

impl RolloutCommand {
    async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        match &self.action {
            Action::List(list) => list.run(around, console).await,
            Action::Get(get) => get.run(around, console).await,
            Action::Watch(watch) => watch.run(around, console).await,
            Action::Start(start) => start.run("start", around, console).await,
            Action::Promote(promote) => promote.run(around, console).await,
            Action::Pause(pause) => pause.run("pause", around, console).await,
            Action::Resume(resume) => resume.run("resume", around, console).await,
            Action::Abort(abort) => abort.run("abort", around, console).await,
            Action::Retry(retry) => retry.run(around, console).await,
            Action::Weight(weight) => weight.run(around, console).await,
            Action::History(history) => history.run(around, console).await,
            Action::Simulate(simulate) => simulate::run(simulate),
        }
    }
}
