//! One metric of one run: its judge and its gate.

use super::inputs::{Checked, Inputs};
use crate::{
    judge::{Chain, Class, Debits, Gate, Relative, Threshold, Ticket, Verdict},
    num::float,
    policy::{JudgeKind, Rule},
    split::Split,
    track::Track,
};

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Errors,
    Slow,
}

pub(super) struct Measure<'a> {
    pub name: &'a str,
    pub source: Source,
    /// Whether it is counted only while stable has enough requests.
    pub needs_stable: bool,
    judged: bool,
    /// Whether something bad came since it was last looked at: only that adds to the evidence.
    changed: bool,
    limit: f64,
    judge: Judge,
    gate: Option<Gate>,
    rows: u64,
    bad_rows: u64,
    bad: u64,
}

enum Judge {
    Sequential {
        chain: Box<Chain>,
        debits: Debits,
        class: Class,
    },
    Threshold(Threshold),
    Relative {
        test: Relative,
        stable_rows: u64,
        stable_bad: u64,
    },
    /// Shown only.
    None,
}

impl<'a> Measure<'a> {
    pub fn all(inputs: &Inputs<'a>, checked: &Checked<'a>) -> Vec<Self> {
        let analysis = &inputs.policy.analysis;
        let of = |&(metric, rule): &(&'a crate::policy::Metric, Rule)| {
            let (source, needs_stable) = match rule {
                Rule::Errors(_) | Rule::ErrorsToStable { .. } => (Source::Errors, false),
                Rule::Latency { .. } => (Source::Slow, false),
                Rule::LatencyToStable { .. } => (Source::Slow, true),
            };
            let judge = match (rule, rule.limit()) {
                // Its few heavy keys are no coins.
                (Rule::ErrorsToStable { .. }, _) if inputs.policy.routing.split == Split::Hash => Judge::None,
                (Rule::ErrorsToStable { ratio }, _) => Relative::new(ratio)
                    .map_or(Judge::None, |test| Judge::Relative { test, stable_rows: 0, stable_bad: 0 }),
                (_, Some(limit)) if analysis.judge == JudgeKind::Sequential => Judge::Sequential {
                    chain: Box::new(Chain::new(limit)),
                    debits: Debits::default(),
                    class: Class::new(inputs.counted_rows(), inputs.counted_rows()),
                },
                (_, Some(limit)) => {
                    let (window, least) = (analysis.window().as_secs(), analysis.min_requests().into());
                    Judge::Threshold(Threshold::new(window, least, limit.share()))
                }
                (_, None) => Judge::None,
            };
            let limit = match rule {
                Rule::ErrorsToStable { ratio } => ratio,
                _ => rule.limit().map_or(0.0, crate::judge::Limit::share),
            };
            let (name, gate) = (metric.name.as_str(), rule.limit().map(Gate::new));
            let judged = !metric.dry_run;
            Self {
                name,
                source,
                needs_stable,
                judged,
                changed: false,
                limit,
                judge,
                gate,
                rows: 0,
                bad_rows: 0,
                bad: 0,
            }
        };
        checked.metrics.iter().map(of).collect()
    }

    /// Gates begin anew where the weight changes.
    pub fn begin_gate(&mut self, rule: &Rule) {
        self.gate = rule.limit().map(Gate::new);
    }

    /// Whether the gate passes.
    pub fn passes(&self, confidence: f64) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.verdict(confidence).decided)
    }

    /// `count` of the canary's executions of `rows` rows were good, the last of them at `now`.
    pub fn clean(&mut self, rows: u32, count: u64, now: f64) {
        if count == 0 {
            return;
        }
        self.rows += u64::from(rows) * count;
        if let Some(gate) = &mut self.gate {
            gate.clean(rows, count);
        }
        match &mut self.judge {
            Judge::Sequential { chain, debits, class } => {
                debits.dispatch_many(*class, chain.epochs(), count);
                debits.end_many(chain.epochs(), count);
            }
            Judge::Threshold(window) => {
                // At once: they are within a part of the window.
                let rows = u32::try_from(u64::from(rows) * count).unwrap_or(u32::MAX);
                window.executed(rows, 0, now);
            }
            Judge::Relative { .. } | Judge::None => {}
        }
    }

    /// One of the canary's executions of `rows` rows: `bad` of them failed by its fault, `raw` in all. `weight` is the
    /// canary's share of requests.
    pub fn failed(&mut self, rows: u32, bad: u32, raw: u32, weight: f64, now: f64) {
        let counted = if matches!(self.judge, Judge::Relative { .. }) { raw } else { bad };
        self.rows += u64::from(rows);
        self.bad_rows += u64::from(counted);
        self.bad += u64::from(counted > 0);
        self.changed = true;
        if let Some(gate) = &mut self.gate {
            // What failed on stable too says nothing.
            let rows = rows - (raw - bad);
            gate.executed(rows, f64::from(bad) / f64::from(rows.max(1)));
        }
        match &mut self.judge {
            Judge::Sequential { chain, debits, class } => {
                let ticket = Ticket::new(*class, chain.epochs());
                debits.dispatch(*class, ticket.epochs());
                chain.bad_so_far(ticket, &mut 0.0, f64::from(bad) / f64::from(rows), now, debits);
                debits.end(ticket.epochs());
            }
            Judge::Threshold(window) => window.executed(rows, bad, now),
            Judge::Relative { test, .. } => test.executed(Track::Canary, rows, &vec![weight; raw as usize]),
            Judge::None => {}
        }
    }

    /// `count` of stable's executions of `rows` rows, the last of them with `bad` rows that failed.
    pub fn stable(&mut self, rows: u32, count: u64, bad: u32, weight: f64) {
        if let Judge::Relative { test, stable_rows, stable_bad } = &mut self.judge {
            *stable_rows += u64::from(rows) * count;
            *stable_bad += u64::from(bad);
            test.executed(Track::Stable, rows, &vec![weight; bad as usize]);
        }
    }

    /// Where it demotes, why.
    pub fn breach(&mut self, enough: f64, min_failures: u64, now: f64) -> Option<Verdict> {
        let windows = matches!(self.judge, Judge::Threshold(_));
        if !self.judged || self.bad < min_failures || !(std::mem::take(&mut self.changed) || windows) {
            return None;
        }
        let value = float(self.bad_rows) / float(self.rows.max(1));
        let (evidence, value) = match &mut self.judge {
            Judge::Sequential { chain, .. } => (chain.log_e(), value),
            Judge::Threshold(window) => {
                return Some(window.verdict(now)).filter(|verdict| verdict.decided && verdict.bad >= min_failures);
            }
            Judge::Relative { test, stable_rows, stable_bad } => {
                (test.log_e(), value * float(*stable_rows) / float((*stable_bad).max(1)))
            }
            Judge::None => return None,
        };
        let (limit, n, bad) = (self.limit, self.rows, self.bad);
        (evidence >= enough).then_some(Verdict { value, limit, evidence, enough, n, bad, decided: true })
    }
}
