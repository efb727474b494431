//! The tables.

use std::fmt::Write;

use perch_router::judge::{Absolute, Gate, Limit, Threshold, threshold};

use crate::{
    acceptance,
    dice::Dice,
    parallel,
    traffic::{Fate, Flight, Size, Traffic, one_at_a_time},
};

/// How much is simulated. The short form says little; it is for the test.
pub struct Scale {
    /// Runs of which the median is taken.
    pub medians: u64,
    /// Runs of which false demotions are counted.
    pub runs: u64,
    /// The same, many executions at a time.
    pub crowded: u64,
    /// Healthy rollouts in each cell of what was promised.
    pub healthy: u64,
    /// Executions in half an hour at 10/s, in an hour, and in 5 minutes at 600/s.
    pub half_hour: u32,
    pub hour: u32,
    pub crowd: u32,
}

pub const SHORT: Scale =
    Scale { medians: 11, runs: 2, crowded: 2, healthy: 2, half_hour: 1_200, hour: 1_800, crowd: 6_000 };

/// A table, and what of it is not as was promised. The short form's are no misses: it says little.
pub struct Table {
    pub text: String,
    pub misses: Vec<String>,
}

pub const ALL: [fn(&Scale) -> Table; 6] =
    [acceptance::healthy, detection, after_an_hour, false_demotions, crowded, gates];

const RATES: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// The medians that the design promises: M = 1, then M = 4 in a fleet; batches of 1, 8, 32.
const DETECTION: [[u32; 6]; 6] = [
    [2_400, 226, 65, 22, 6, 3],
    [321, 27, 9, 4, 3, 3],
    [68, 10, 5, 3, 3, 3],
    [2_912, 256, 74, 26, 7, 3],
    [358, 33, 11, 5, 3, 3],
    [87, 12, 6, 4, 3, 3],
];
/// The same after an hour of healthy traffic, batches of 1.
const AFTER_AN_HOUR: [u32; 6] = [3_906, 452, 133, 45, 12, 5];
/// Executions until a gate passes.
const GATES: [u64; 4] = [329, 694, 65, 137];
/// Half the limit, and the limit.
const HEALTHY: [f64; 2] = [0.005, 0.01];
pub const ALPHA: f64 = 0.001;

fn judge() -> Absolute {
    Absolute::new(limit(0.01))
}

pub fn limit(share: f64) -> Limit {
    Limit::new(share).expect("a limit")
}

/// Executions until `judge` demotes.
fn detect(mut judge: Absolute, after: u32, rate: f64, rows: u32, enough: f64, dice: &mut Dice) -> u32 {
    let traffic = Traffic { size: Size::Rows(rows), fate: Fate::Alone, rate };
    (1..50_000)
        .find(|&n| {
            let (rows, bad) = traffic.next(dice);
            one_at_a_time(&mut judge, rows, bad, f64::from(after + n) * 0.1, enough)
        })
        .unwrap_or(50_000)
}

fn median(runs: u64, one: impl Fn(u64) -> u32 + Sync) -> u32 {
    let mut all = parallel::map(runs, one);
    all.sort_unstable();
    all[all.len() / 2]
}

/// Within a fifth of what was promised; within one, below 10.
fn compare(what: &str, found: [u32; 6], promised: [u32; 6], misses: &mut Vec<String>) {
    for ((rate, found), promised) in RATES.into_iter().zip(found).zip(promised) {
        let allowed = if promised < 10 { 1 } else { promised / 5 };
        if found.abs_diff(promised) > allowed {
            misses.push(format!("{what} at {} %: a median of {found}, expected {promised} +- {allowed}", 100.0 * rate));
        }
    }
}

fn row(name: &str, cells: [u32; 6]) -> String {
    format!("{name:30}{}\n", cells.map(|cell| format!("{cell:9}")).concat())
}

fn detection(scale: &Scale) -> Table {
    let (mut misses, mut promised) = (Vec::new(), DETECTION.into_iter());
    let mut text = String::from("Median executions until demotion, limit 1 %, one execution at a time\n");
    _ = writeln!(
        text,
        "{:30}{}",
        "true share of bad rows",
        RATES.map(|rate| format!("{:>7} %", 100.0 * rate)).concat()
    );
    for (name, metrics) in [("M = 1", 1), ("M = 4, fleet", 8)] {
        for rows in [1, 8, 32] {
            let cell = |rate| {
                let run = |seed| detect(judge(), 0, rate, rows, threshold(metrics, ALPHA), &mut Dice::new(seed));
                median(scale.medians, run)
            };
            let (what, cells) = (format!("{name}, batches of {rows}"), RATES.map(cell));
            text += &row(&what, cells);
            compare(&what, cells, promised.next().unwrap_or(cells), &mut misses);
        }
    }
    Table { text, misses }
}

fn after_an_hour(scale: &Scale) -> Table {
    let mut misses = Vec::new();
    let mut text = format!("The same after {} executions at 0.5 %, 10/s, M = 1\n", scale.hour);
    for rows in [1, 32] {
        let healthy = Traffic { size: Size::Rows(rows), fate: Fate::Alone, rate: 0.005 };
        let aged: Vec<Absolute> = parallel::map(scale.medians.min(201), |seed| {
            let (mut judge, mut dice) = (judge(), Dice::new(1_000_000 + seed));
            for n in 0..scale.hour {
                let (rows, bad) = healthy.next(&mut dice);
                one_at_a_time(&mut judge, rows, bad, f64::from(n) * 0.1, f64::INFINITY);
            }
            judge
        });
        let cell = |rate| {
            let run = |seed: u64| {
                let judge = aged[usize::try_from(seed).expect("small")].clone();
                detect(judge, scale.hour, rate, rows, threshold(1, ALPHA), &mut Dice::new(seed))
            };
            median(aged.len() as u64, run)
        };
        let cells = RATES.map(cell);
        text += &row(&format!("batches of {rows}"), cells);
        if rows == 1 {
            compare("after an hour, batches of 1", cells, AFTER_AN_HOUR, &mut misses);
        }
    }
    Table { text, misses }
}

fn false_demotions(scale: &Scale) -> Table {
    let Scale { runs, half_hour, .. } = *scale;
    let mut text =
        format!("False demotions of {runs} runs of {half_hour} executions at 10/s, limit 1 %, alpha 0.1 %\n");
    text += "rate    size              fate       judge  window 60 s, min 20  min 100 rows\n";
    let sizes = [
        ("1", Size::Rows(1)),
        ("8", Size::Rows(8)),
        ("32", Size::Rows(32)),
        ("1, 8 and 32", Size::Mixed),
        ("small ones fail", Size::SmallOnesFail),
    ];
    for rate in HEALTHY {
        for (name, size) in sizes {
            for (how, fate) in [("alone", Fate::Alone), ("halves", Fate::Halves), ("together", Fate::Together)] {
                if matches!(size, Size::Rows(1)) && fate != Fate::Alone {
                    continue;
                }
                let traffic = Traffic { size, fate, rate };
                let found = parallel::map(runs, |seed| judged(traffic, half_hour, &mut Dice::new(2_000_000 + seed)));
                let [betting, few, many] = [0, 1, 2].map(|judge| found.iter().filter(|found| found[judge]).count());
                _ = writeln!(text, "{:4} %  {name:17} {how:9} {betting:6} {few:20} {many:13}", 100.0 * rate);
            }
        }
    }
    Table { text, misses: Vec::new() }
}

/// Whether the sequential judge, and the threshold judges, demote.
fn judged(traffic: Traffic, executions: u32, dice: &mut Dice) -> [bool; 3] {
    let (mut judge, enough, mut found) = (judge(), threshold(1, ALPHA), [false; 3]);
    let mut windows = [20, 100].map(|least| Threshold::new(60.0, least, 0.01));
    for n in 0..executions {
        let (now, (rows, bad)) = (f64::from(n) * 0.1, traffic.next(dice));
        found[0] |= one_at_a_time(&mut judge, rows, bad, now, enough);
        for (window, found) in windows.iter_mut().zip(&mut found[1..]) {
            if !*found {
                window.executed(rows, bad, now);
                *found = window.verdict(now).decided;
            }
        }
    }
    found
}

fn crowded(scale: &Scale) -> Table {
    let mut text = format!("False demotions of {} runs of {} executions at 600/s\n", scale.crowded, scale.crowd);
    text += "rate    batches of  success  failure  debit at dispatch  counted at the end instead\n";
    for rate in HEALTHY {
        for rows in [1, 8] {
            for (success, failure) in [(1.0, 0.005), (0.3, 0.3), (0.01, 1.0)] {
                let traffic = Traffic { size: Size::Rows(rows), fate: Fate::Together, rate };
                let count = |at_dispatch| {
                    parallel::count(scale.crowded, |seed| {
                        let dice = &mut Dice::new(3_000_000 + seed);
                        crowd(traffic, [success, failure], scale.crowd, at_dispatch, dice)
                    })
                };
                let (ours, late) = (count(true), count(false));
                _ = writeln!(
                    text,
                    "{:4} %  {rows:10}  {success:5} s  {failure:5} s  {ours:17}  {late:26}",
                    100.0 * rate
                );
            }
        }
    }
    Table { text, misses: Vec::new() }
}

/// Whether a run with many executions in flight demotes. Successes and failures take as long as is said.
fn crowd(traffic: Traffic, seconds: [f64; 2], executions: u32, at_dispatch: bool, dice: &mut Dice) -> bool {
    let (mut judge, mut flights) = (judge(), [Flight::default(), Flight::default()]);
    for n in 0..executions {
        let (now, (rows, bad)) = (f64::from(n) / 600.0, traffic.next(dice));
        for flight in &mut flights {
            if flight.land(&mut judge, now, threshold(1, ALPHA)) {
                return true;
            }
        }
        let kind = usize::from(bad > 0);
        let execution = at_dispatch.then(|| judge.dispatch(rows));
        flights[kind].push(now + seconds[kind], execution, rows, bad);
    }
    false
}

pub fn gates(_: &Scale) -> Table {
    let (mut text, mut misses) = (String::from("Executions until a gate passes at 95 %\n"), Vec::new());
    for ((share, failures), promised) in [(0.01, 0), (0.01, 1), (0.05, 0), (0.05, 1)].into_iter().zip(GATES) {
        let mut gate = Gate::new(limit(share));
        (0..failures).for_each(|_| gate.executed(1, 1.0));
        while !gate.verdict(0.95).decided {
            gate.executed(1, 0.0);
        }
        let n = gate.verdict(0.95).n;
        _ = writeln!(text, "{:2} %, {failures} failed {n:5}", 100.0 * share);
        if n != promised {
            misses.push(format!("gate at {share} with {failures} failed: {n} executions, expected {promised}"));
        }
    }
    Table { text, misses }
}
