//! What a policy would do: whole rollouts with traffic of which the truth is known, by the real judges, gates and state
//! machine. No clock: time is counted. The same seed gives the same answer.
//!
//! What is taken for granted: requests come evenly and are divided evenly; batches are full; rows fail independently of
//! each other, on both tracks; the rows of a batch are slow together; an execution ends when it starts, so that
//! concurrency is left out (it adds about as many executions as are in flight); stable served alone before the rollout.
//! Nobody intervenes, but for pauses before the first request, which somebody ends at once.

mod dice;
mod inputs;
mod machine;
mod measure;
mod outcome;
mod run;
mod stable;

pub use inputs::{Inputs, healthy_rates};
pub use outcome::{Middle, Outcome};

use crate::policy::Problem;

/// Runs the policy's rollout again and again. The error names the field that is wrong, or the policy's key.
pub fn simulate(inputs: &Inputs) -> Result<Outcome, Problem> {
    let checked = inputs.check()?;
    let mut endings = Vec::new();
    for number in 0..inputs.runs {
        endings.push(run::run(inputs, &checked, number)?);
    }
    Ok(outcome::of(&endings))
}

#[cfg(test)]
mod tests;
