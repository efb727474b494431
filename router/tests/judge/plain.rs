//! The absolute test once more, from its definition: all executions and all epochs are kept, and every product is
//! multiplied out each time. No debits, no folding, no shortcuts.

use crate::streams::Event;

pub struct Plain {
    p0: f64,
    executions: Vec<Execution>,
    /// For each epoch how many executions had been dispatched when it opened, and when that was.
    epochs: Vec<(usize, f64)>,
}

struct Execution {
    rows: u32,
    weight: f64,
    fraction: f64,
    ended: bool,
}

impl Plain {
    pub fn new(p0: f64) -> Self {
        Self { p0, executions: Vec::new(), epochs: Vec::new() }
    }

    /// What is expected after every event that may change it.
    pub fn take(&mut self, event: &Event) -> Option<Event> {
        match *event {
            Event::Dispatch { rows, .. } => {
                let counted = rows.min(32);
                let largest = self.executions.iter().map(|execution| execution.rows.min(32)).fold(counted, u32::max);
                let weight = f64::from(counted) / f64::from(largest);
                self.executions.push(Execution { rows, weight, fraction: 0.0, ended: false });
            }
            Event::Bad { id, bad, now } => {
                let fraction = f64::from(bad) / f64::from(self.executions[id].rows);
                if fraction <= self.executions[id].fraction {
                    return None;
                }
                self.executions[id].fraction = fraction;
                let waits = self.epochs.last().is_some_and(|&(before, at)| {
                    now - at < 1.0 || self.executions[..before].iter().any(|execution| !execution.ended)
                });
                if !waits {
                    self.epochs.push((self.executions.len(), now));
                }
            }
            Event::End { id } => self.executions[id].ended = true,
            Event::Expect { .. } => {}
        }
        let bad = self.executions.iter().filter(|execution| execution.fraction > 0.0).count() as u64;
        Some(Event::Expect { log: self.log_e(), bad, epochs: self.epochs.len() as u64 })
    }

    fn log_e(&self) -> f64 {
        let left = |epoch: u32| 0.5 / f64::from(1 + epoch).powf(0.25);
        let mut terms = self.from(0, 0.5);
        for (epoch, &(first, _)) in (0..).zip(&self.epochs) {
            terms.extend(self.from(first, left(epoch) - left(epoch + 1)));
        }
        terms.push(left(u32::try_from(self.epochs.len()).unwrap()).ln());
        let most = terms.iter().copied().fold(f64::MIN, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }

    /// The logarithm of each bet's wealth when `mass` is played from execution `first` on.
    fn from(&self, first: usize, mass: f64) -> Vec<f64> {
        let odds = |p: f64| p / (1.0 - p);
        let (low, high) = (odds(2.0 * self.p0).ln(), odds(0.97).ln());
        let wealth = |k: u32| {
            let odds = (low + (high - low) * f64::from(k) / 11.0).exp();
            let bet = (odds / (1.0 + odds) - self.p0) / (self.p0 * (1.0 - self.p0));
            let factor = |execution: &Execution| (bet * execution.weight * (execution.fraction - self.p0)).ln_1p();
            (mass / 12.0).ln() + self.executions[first..].iter().map(factor).sum::<f64>()
        };
        (0..12).map(wealth).collect()
    }
}
