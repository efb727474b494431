//! Every shape that a run of texts may have, run once, where a new one is dear: on CUDA and with `OpenVINO`, and in each
//! session by itself.

use std::time::{Duration, Instant};

use super::WarmUp;
use super::texts::{give_up, samples, shaped};
use crate::backend::{LoadError, RunError};
use crate::run::compose::Rules;
use crate::text::{Sequence, TextModel};

/// No further shapes are run once this much time went by, or half of what is left until the deadline: the rest of
/// loading needs some, too.
const BUDGET: Duration = Duration::from_secs(20);

impl WarmUp<'_> {
    /// Runs the shapes of `rules` on one more session, and says what is left of them: memory that several sessions share
    /// may be enough for the first alone.
    ///
    /// # Errors
    /// When a single text of moderate length does not run.
    pub fn run_shapes(mut self, model: &TextModel, mut rules: Rules) -> Result<Rules, LoadError> {
        let (_, sample) = samples(model)?;
        self.shapes(model, &mut rules, &sample)?;
        Ok(rules)
    }

    pub(super) fn shapes(&mut self, model: &TextModel, rules: &mut Rules, sample: &Sequence) -> Result<(), LoadError> {
        let began = Instant::now();
        let until = began + BUDGET.min(self.deadline.saturating_duration_since(began) / 2);
        let shapes = rules.shapes();
        for (ran, shape) in shapes.iter().enumerate() {
            if !rules.may_try(*shape) {
                continue;
            }
            let result = if Instant::now() < until {
                self.once_until(&shaped(model, sample, *shape), until)
            } else {
                Err(RunError::Terminated)
            };
            match result {
                Ok(_) => {}
                Err(RunError::Terminated) => {
                    let (seconds, left) = (began.elapsed().as_secs(), shapes.len() - ran);
                    tracing::warn!(
                        "{ran} of {} shapes were run in {seconds} s: the other {left} are compiled with the first \
                         requests; fewer batching.buckets or a smaller batching.maxRows make fewer",
                        shapes.len()
                    );
                    break;
                }
                Err(error) => give_up(*shape, &error, rules)?,
            }
        }
        Ok(())
    }
}
