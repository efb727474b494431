//! Runs the cases on the session that is going to serve and on one of the CPU, and compares.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::{Backend, LoadError, Loader, RunError, SessionOptions};
use crate::device::{Device, Precision};
use crate::example::Example;
use crate::run::compose::Rules;
use crate::signature::OutputSpec;
use crate::tensor::Column;
use crate::text::TextModel;
use crate::watchdog::{Slot, Watchdog};

use super::Disagreement;
use super::case::{Case, cases};
use super::compare::{Lengths, compare};
use super::figures::{Figures, Limits};

/// What the comparison needs from its surroundings.
pub struct Check<'c> {
    /// Opens the session on the CPU.
    pub loader: &'c dyn Loader,
    /// Ends runs.
    pub watchdog: &'c Watchdog,
    /// When it has failed.
    pub deadline: Instant,
    /// How near the outputs have to be.
    pub limits: Limits,
}

impl Check<'_> {
    /// Compares `backend`, which was opened with `options` and is warm, with the CPU in fp32. Where it is that itself,
    /// there is nothing to do. `text` is asked for only where there is, with what its runs may be.
    ///
    /// # Errors
    /// When they disagree, when there is nothing that both run, or when one does not end.
    pub fn run(
        &self,
        backend: &mut dyn Backend,
        options: &SessionOptions,
        example: &Example,
        text: Option<(&TextModel, &Rules)>,
    ) -> Result<(), LoadError> {
        let cases = cases(backend.signature(), example, text);
        let plain =
            SessionOptions { device: Device::Cpu, precision: Precision::Fp32, memory_limit: None, ..options.clone() };
        let mut cpu = self.loader.open(&plain)?;
        let disagreement = |found| Disagreement { device: options.device, precision: options.precision, found };
        let mut compared: Option<Figures> = None;
        let (slot, cpu_slot) = (self.watchdog.watch(backend.terminator()), self.watchdog.watch(cpu.terminator()));
        for case in &cases {
            let got = self.once(backend, &slot, case);
            let expected = self.once(cpu.as_mut(), &cpu_slot, case);
            let (got, expected) = match (got, expected) {
                (Err(RunError::Terminated), _) | (_, Err(RunError::Terminated)) => return Err(late()),
                (Ok(got), Ok(expected)) => (got, expected),
                // What perch made up may be nothing that the model takes.
                (Err(_), Err(_)) => continue,
                (Err(error), Ok(_)) => {
                    return Err(disagreement(format!("on {} it fails: {error}", case.name)).into());
                }
                (Ok(_), Err(error)) => {
                    return Err(disagreement(format!("on {} only the CPU fails: {error}", case.name)).into());
                }
            };
            let figures = self.compare(&backend.signature().outputs, case, &got, &expected).map_err(disagreement)?;
            compared = Some(compared.map_or(figures, |all| all.worse(figures)));
        }
        drop(cpu);
        self.loader.trim();
        let Some(figures) = compared else {
            return Err(LoadError::WarmUp(format!(
                "nothing to compare device {} with the CPU on: the model takes none of the inputs that perch makes up; \
                 put an input_example.json beside it",
                options.device
            )));
        };
        let path = options.graph.display();
        let Figures { cosine, relative } = figures;
        tracing::info!(%path, device = %options.device, precision = %options.precision, cosine, relative, "agrees with the CPU");
        Ok(())
    }

    fn once(&self, backend: &mut dyn Backend, slot: &Arc<Slot>, case: &Case) -> Result<Vec<Column>, RunError> {
        slot.arm(self.deadline);
        let result = backend.run(&case.inputs);
        if slot.disarm() { Err(RunError::Terminated) } else { result }
    }

    /// The worst figures of all outputs, or what is wrong with the first that is too far off.
    fn compare(
        &self,
        specs: &[OutputSpec],
        case: &Case,
        got: &[Column],
        expected: &[Column],
    ) -> Result<Figures, String> {
        if got.len() != expected.len() {
            return Err(format!("on {} it has {} outputs, expected {}", case.name, got.len(), expected.len()));
        }
        let lengths = case.lengths.as_ref().map(|(rows, padded)| Lengths { rows, padded: *padded });
        let mut worst = Figures::SAME;
        for (spec, (got, expected)) in specs.iter().zip(got.iter().zip(expected)) {
            let place = format!("output \"{}\" on {}", spec.name(), case.name);
            let figures = compare(got, expected, lengths).map_err(|form| format!("{place} {form}"))?;
            if !self.limits.allow(figures) {
                return Err(format!("{place}: {}", figures.against(self.limits)));
            }
            worst = worst.worse(figures);
        }
        Ok(worst)
    }
}

fn late() -> LoadError {
    LoadError::WarmUp("the comparison with the CPU did not end within the load timeout".into())
}
