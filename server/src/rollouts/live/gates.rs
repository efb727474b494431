//! The gates of a step: fed in the order of dispatch with what has happened since the weight was last set.

use std::collections::BTreeMap;

use perch_router::judge::{Gate, Reader, Verdict};
use perch_router::policy::GateStep;
use perch_router::weight::Weight;

use super::flight::Odd;
use super::{Live, Together};

/// What a gate says of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct GateReport {
    /// The metric's name.
    pub metric: String,
    /// What is known of it; `decided`: it passes.
    pub verdict: Verdict,
}

/// A gate for every metric that can have one. Owned by the driver.
pub struct Gates {
    /// By metric; none where a metric can have no gate.
    each: Vec<Option<Gate>>,
    reader: Reader,
    /// What was dispatched before this interval is not this step's.
    from: u64,
    /// What has ended oddly, of intervals that are not over yet.
    odd: Vec<Odd>,
}

impl Gates {
    /// Gates of `live`, which go on from what is stored.
    #[must_use]
    pub fn new(live: &Live, stored: &BTreeMap<String, Gate>) -> Self {
        let gate = |judge: &super::Judge| {
            let limit = judge.limit()?;
            Some(stored.get(&judge.metric.name).cloned().unwrap_or_else(|| Gate::new(limit)))
        };
        Self { each: live.judges.iter().map(gate).collect(), reader: Reader::default(), from: 0, odd: Vec::new() }
    }

    /// The weight was set: what starts from here on counts, and nothing before.
    pub fn begin(&mut self, live: &Live) {
        self.from = live.ledger.turn(&self.reader);
        for (judge, gate) in live.judges.iter().zip(&mut self.each) {
            *gate = judge.limit().map(Gate::new);
        }
    }

    /// Takes what has ended.
    pub fn feed(&mut self, live: &Live) {
        live.ledger.turn(&self.reader);
        while let Some(page) = live.ledger.take(&mut self.reader) {
            // What is odd was noted before it ended.
            self.odd.append(&mut live.odd.lock());
            let (here, later) = self.odd.drain(..).partition(|odd| odd.interval <= page.interval);
            self.odd = later;
            let here: Vec<Odd> = here;
            if page.interval < self.from {
                continue;
            }
            for (place, gate) in self.each.iter_mut().enumerate() {
                let Some(gate) = gate else { continue };
                page.clean().for_each(|(rows, count)| gate.clean(rows, count));
                for (rows, fraction) in here.iter().filter_map(|odd| odd.metrics.get(place)) {
                    gate.executed(*rows, *fraction);
                }
            }
        }
    }

    /// What the gate of a step says of each of its metrics, by what this replica and the others have seen since the weight
    /// was set to `weight`.
    #[must_use]
    pub fn report(&self, live: &Live, step: &GateStep, weight: Weight) -> Vec<GateReport> {
        let others = live.together().map(Together::others);
        let of = |(judge, gate): (&super::Judge, &Option<Gate>)| {
            let metric = judge.metric.name.clone();
            let gate = gate.clone().filter(|_| step.metrics.contains(&metric))?;
            let theirs = others.iter().flat_map(|others| others.gates_of(&metric, weight));
            let verdict = theirs.fold(gate, Gate::with).verdict(step.confidence);
            Some(GateReport { metric, verdict })
        };
        live.judges.iter().zip(&self.each).filter_map(of).collect()
    }

    /// What is to be stored.
    #[must_use]
    pub fn stored(&self, live: &Live) -> BTreeMap<String, Gate> {
        let named = live.judges.iter().zip(&self.each);
        named.filter_map(|(judge, gate)| Some((judge.metric.name.clone(), gate.clone()?))).collect()
    }
}
