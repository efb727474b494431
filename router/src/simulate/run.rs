//! One rollout, from its start to its end.

use super::{
    dice::Dice,
    inputs::{Checked, Inputs},
    machine::Machine,
    measure::{Measure, Source},
    outcome::{Ending, How},
    stable::LastMinute,
};
use crate::{
    num::float,
    policy::Problem,
    rollout::{Event, Phase},
};

/// Executions that come evenly, and the next of them that goes badly.
struct Stream {
    /// That one goes badly.
    chance: f64,
    /// How many do not, before the next one that does.
    gap: u64,
}

impl Stream {
    fn new(chance: f64, dice: &mut Dice) -> Self {
        Self { chance, gap: dice.gap(chance) }
    }

    /// Which of the next `count` executions, from `done` on, is the next that goes badly.
    const fn next(&self, done: u64, count: u64) -> Option<u64> {
        let left = count.saturating_sub(done);
        if self.gap < left { Some(done + self.gap) } else { None }
    }

    /// It has been dealt with.
    fn draw(&mut self, dice: &mut Dice) {
        self.gap = dice.gap(self.chance);
    }

    /// So many went well.
    const fn pass(&mut self, count: u64) {
        self.gap = self.gap.saturating_sub(count);
    }
}

/// The next thing that happens.
#[derive(Clone, Copy)]
enum Bad {
    Error,
    Slow,
    Stable,
}

struct Run<'a> {
    inputs: &'a Inputs<'a>,
    checked: &'a Checked<'a>,
    dice: Dice,
    machine: Machine<'a>,
    measures: Vec<Measure<'a>>,
    errors: Stream,
    slow: Stream,
    stable_errors: Stream,
    /// Parts of executions that are due, of the canary and of stable.
    due: [f64; 2],
    last_minute: LastMinute,
    now: f64,
    executions: u64,
    failed: u64,
    /// Executions that are not counted for latency.
    warmup: u64,
    events: u64,
}

/// Run `number`. An error where it would take too long.
pub(super) fn run(inputs: &Inputs, checked: &Checked, number: u32) -> Result<Ending, Problem> {
    let mut dice = Dice::new(inputs.seed, number.into());
    let some_of = |rate: f64| -(f64::from(inputs.batch_rows) * (-rate).ln_1p()).exp_m1();
    let any = |rate: f64| if rate < 1.0 { some_of(rate) } else { 1.0 };
    let mut run = Run {
        inputs,
        checked,
        machine: Machine::started(&checked.rules, checked.stable_fails),
        measures: Measure::all(inputs, checked),
        errors: Stream::new(any(inputs.error_rate), &mut dice),
        slow: Stream::new(inputs.slow_rate, &mut dice),
        stable_errors: Stream::new(any(inputs.stable_error_rate), &mut dice),
        due: [dice.unit(), dice.unit()],
        last_minute: LastMinute::new(inputs.requests_per_second),
        now: 0.0,
        executions: 0,
        failed: 0,
        warmup: u64::from(inputs.policy.analysis.warmup_requests.div_ceil(inputs.batch_rows)),
        events: 0,
        dice,
    };
    run.follow()
}

impl Run<'_> {
    fn follow(&mut self) -> Result<Ending, Problem> {
        let longest = self.inputs.longest.as_secs();
        while self.now < longest && !self.is_over() {
            let rest = self.machine.rest(self.now, self.checked.longest_tick).min(longest - self.now);
            let place = self.machine.place();
            if let Some((metric, at)) = self.traffic(rest) {
                if !matches!(self.machine.state.phase, Phase::Demoted { .. }) {
                    break;
                }
                return Ok(self.ending(How::Demoted(metric, place), at));
            }
            self.now += rest;
            self.look();
            if self.events > self.checked.budget {
                let (budget, runs) = (self.checked.budget, self.inputs.runs);
                let message = format!(
                    "expected fewer: with these rates one run of {runs} has more than {budget} events in {}; ask for \
                     fewer runs, a shorter time or fewer requests per second",
                    self.inputs.longest
                );
                return Err(Problem { key: "runs".to_owned(), message });
            }
        }
        let how = match &self.machine.state.phase {
            Phase::Idle | Phase::Promoted { .. } => How::Promoted,
            Phase::Paused { .. } => How::Paused,
            Phase::Aborted { .. } => How::Aborted,
            Phase::Suspended { .. } => How::Suspended,
            Phase::Progressing(_) | Phase::Demoted { .. } => How::Unfinished,
        };
        Ok(self.ending(how, self.now))
    }

    fn ending(&self, how: How, at: f64) -> Ending {
        Ending { how, at, executions: self.executions, failed: self.failed }
    }

    fn is_over(&self) -> bool {
        match &self.machine.state.phase {
            Phase::Progressing(_) => false,
            // Whoever has no traffic waits for ever.
            Phase::Paused { .. } => self.machine.weight() <= 0.0,
            // The aliases may be left to somebody else.
            Phase::Promoted { until, .. } => self.now >= *until,
            Phase::Idle | Phase::Suspended { .. } | Phase::Demoted { .. } | Phase::Aborted { .. } => true,
        }
    }

    /// The clock's part: steps that are over, and gates.
    fn look(&mut self) {
        self.events += 1;
        if matches!(self.machine.state.phase, Phase::Paused { .. }) {
            return;
        }
        let start = self.machine.state.starts;
        let mut changed = self.machine.tell(&Event::Tick { start, executions: self.executions }, self.now);
        if let Some((step, names, confidence)) = self.machine.gate() {
            let is_named = |measure: &&Measure| names.iter().any(|name| name == measure.name);
            let passed = self.measures.iter().filter(is_named).all(|measure| measure.passes(confidence));
            changed |= self.machine.tell(&Event::Gate { start, step, passed }, self.now);
        }
        if changed {
            for (measure, (_, rule)) in self.measures.iter_mut().zip(&self.checked.metrics) {
                measure.begin_gate(rule);
            }
        }
    }

    /// Requests of the next `length` seconds. The metric that demotes (or suspends), and when.
    fn traffic(&mut self, length: f64) -> Option<(String, f64)> {
        let weight = self.machine.weight();
        let rate = self.inputs.requests_per_second / f64::from(self.inputs.batch_rows);
        let canary = take(&mut self.due[0], rate * weight * length);
        let stable = take(&mut self.due[1], rate * (1.0 - weight) * length);
        let compares = self.last_minute.is_enough(self.now);
        self.last_minute.add(self.now + length, self.inputs.requests_per_second * (1.0 - weight));
        let cold = self.warmup.min(canary);
        self.warmup -= cold;
        let (begun, from) = (self.executions, self.now);
        let at = |place: u64, of: u64| from + length * float(place + 1) / float(of);
        // How far each stream is.
        let (mut errors, mut slow, mut others) = (0, cold, 0);
        loop {
            let error = self.errors.next(errors, canary).map(|place| (at(place, canary), Bad::Error, place));
            let late = self.slow.next(slow, canary).map(|place| (at(place, canary), Bad::Slow, place));
            let other = self.stable_errors.next(others, stable).map(|place| (at(place, stable), Bad::Stable, place));
            let first = [error, late, other].into_iter().flatten().min_by(|one, two| one.0.total_cmp(&two.0));
            let Some((now, kind, place)) = first else { break };
            self.events += 1;
            match kind {
                Bad::Error => {
                    self.executions = begun + place + 1;
                    self.clean(Source::Errors, place - errors, now, compares);
                    self.fail(weight, now);
                    errors = place + 1;
                }
                Bad::Slow => {
                    self.executions = begun + place + 1;
                    self.clean(Source::Slow, place - slow, now, compares);
                    let rows = self.inputs.batch_rows;
                    for measure in counted(&mut self.measures, Source::Slow, compares) {
                        measure.failed(rows, rows, rows, weight, now);
                    }
                    self.slow.draw(&mut self.dice);
                    slow = place + 1;
                }
                Bad::Stable => {
                    let bad = self.dice.count_of_some(self.inputs.batch_rows, self.inputs.stable_error_rate);
                    let count = place + 1 - others;
                    self.measures
                        .iter_mut()
                        .for_each(|measure| measure.stable(self.inputs.batch_rows, count, bad, weight));
                    self.stable_errors.draw(&mut self.dice);
                    others = place + 1;
                }
            }
            if let Some(metric) = self.breach(now) {
                return Some((metric, now));
            }
        }
        let end = from + length;
        self.executions = begun + canary;
        self.clean(Source::Errors, canary - errors, end, compares);
        self.clean(Source::Slow, canary - slow.min(canary), end, compares);
        self.errors.pass(canary - errors);
        self.slow.pass(canary - slow.min(canary));
        self.stable_errors.pass(stable - others);
        let rows = self.inputs.batch_rows;
        self.measures.iter_mut().for_each(|measure| measure.stable(rows, stable - others, 0, weight));
        self.breach(end).map(|metric| (metric, end))
    }

    fn clean(&mut self, source: Source, count: u64, now: f64, compares: bool) {
        let rows = self.inputs.batch_rows;
        counted(&mut self.measures, source, compares).for_each(|measure| measure.clean(rows, count, now));
    }

    /// An execution of the canary fails, at least in part. It is its fault where stable answers.
    fn fail(&mut self, weight: f64, now: f64) {
        let rows = self.inputs.batch_rows;
        let raw = self.dice.count_of_some(rows, self.inputs.error_rate);
        let shared = if self.checked.falls_back { self.inputs.stable_error_rate } else { 0.0 };
        let bad = raw - if shared > 0.0 { self.dice.count(raw, shared) } else { 0 };
        self.failed += u64::from(raw);
        for measure in counted(&mut self.measures, Source::Errors, true) {
            measure.failed(rows, bad, raw, weight, now);
        }
        self.errors.draw(&mut self.dice);
    }

    /// The metric that passed its limit, after the machine was told.
    fn breach(&mut self, now: f64) -> Option<String> {
        let least = u64::from(self.inputs.policy.analysis.min_failures);
        let found = self.measures.iter_mut().find_map(|measure| {
            measure.breach(self.checked.enough, least, now).map(|verdict| (measure.name.to_owned(), verdict))
        });
        let (metric, verdict) = found?;
        self.machine.judged(&metric, verdict, now);
        Some(metric)
    }
}

/// Those that count this.
fn counted<'m, 'a>(
    measures: &'m mut [Measure<'a>],
    source: Source,
    compares: bool,
) -> impl Iterator<Item = &'m mut Measure<'a>> {
    measures.iter_mut().filter(move |measure| measure.source == source && (compares || !measure.needs_stable))
}

/// Whole executions out of what is due.
fn take(due: &mut f64, more: f64) -> u64 {
    *due += more;
    let whole = due.floor();
    *due -= whole;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e6/s for 7 days")]
    {
        whole as u64
    }
}
