//! The tables.

use std::fmt::Write;

use perch_router::judge::{Absolute, Gate, Limit, Threshold, threshold};

use crate::{
    dice::Dice,
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
    /// Executions in half an hour at 10/s, in an hour, and in 5 minutes at 600/s.
    pub half_hour: u32,
    pub hour: u32,
    pub crowd: u32,
}

pub const SHORT: Scale = Scale { medians: 11, runs: 2, crowded: 2, half_hour: 1_200, hour: 1_800, crowd: 6_000 };

pub const ALL: [fn(&Scale) -> String; 5] = [detection, after_an_hour, false_demotions, crowded, gates];

const RATES: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Half the limit, and the limit.
const HEALTHY: [f64; 2] = [0.005, 0.01];
const ALPHA: f64 = 0.001;

fn judge() -> Absolute {
    Absolute::new(limit(0.01))
}

fn limit(share: f64) -> Limit {
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

fn median(runs: u64, one: impl FnMut(u64) -> u32) -> u32 {
    let mut all: Vec<u32> = (0..runs).map(one).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn detection(scale: &Scale) -> String {
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
                format!("{:9}", median(scale.medians, run))
            };
            _ = writeln!(text, "{:30}{}", format!("{name}, batches of {rows}"), RATES.map(cell).concat());
        }
    }
    text
}

fn after_an_hour(scale: &Scale) -> String {
    let mut text = format!("The same after {} executions at 0.5 %, 10/s, M = 1\n", scale.hour);
    for rows in [1, 32] {
        let healthy = Traffic { size: Size::Rows(rows), fate: Fate::Alone, rate: 0.005 };
        let aged: Vec<Absolute> = (0..scale.medians.min(201))
            .map(|seed| {
                let (mut judge, mut dice) = (judge(), Dice::new(1_000_000 + seed));
                for n in 0..scale.hour {
                    let (rows, bad) = healthy.next(&mut dice);
                    one_at_a_time(&mut judge, rows, bad, f64::from(n) * 0.1, f64::INFINITY);
                }
                judge
            })
            .collect();
        let cell = |rate| {
            let run = |seed: u64| {
                let judge = aged[usize::try_from(seed).expect("small")].clone();
                detect(judge, scale.hour, rate, rows, threshold(1, ALPHA), &mut Dice::new(seed))
            };
            format!("{:9}", median(aged.len() as u64, run))
        };
        _ = writeln!(text, "{:30}{}", format!("batches of {rows}"), RATES.map(cell).concat());
    }
    text
}

fn false_demotions(scale: &Scale) -> String {
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
                let mut demoted = [0; 3];
                for seed in 0..runs {
                    let traffic = Traffic { size, fate, rate };
                    let found = judged(traffic, half_hour, &mut Dice::new(2_000_000 + seed));
                    demoted.iter_mut().zip(found).for_each(|(count, found)| *count += u32::from(found));
                }
                let [betting, few, many] = demoted;
                _ = writeln!(text, "{:4} %  {name:17} {how:9} {betting:6} {few:20} {many:13}", 100.0 * rate);
            }
        }
    }
    text
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

fn crowded(scale: &Scale) -> String {
    let mut text = format!("False demotions of {} runs of {} executions at 600/s\n", scale.crowded, scale.crowd);
    text += "rate    batches of  success  failure  debit at dispatch  counted at the end instead\n";
    for rate in HEALTHY {
        for rows in [1, 8] {
            for (success, failure) in [(1.0, 0.005), (0.3, 0.3), (0.01, 1.0)] {
                let traffic = Traffic { size: Size::Rows(rows), fate: Fate::Together, rate };
                let count = |at_dispatch| {
                    let seeds = 3_000_000..3_000_000 + scale.crowded;
                    let run = |seed| crowd(traffic, [success, failure], scale.crowd, at_dispatch, &mut Dice::new(seed));
                    seeds.map(run).filter(|demoted| *demoted).count()
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
    text
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

fn gates(_: &Scale) -> String {
    let mut text = String::from("Executions until a gate passes at 95 %\n");
    for (share, failures) in [(0.01, 0), (0.01, 1), (0.05, 0), (0.05, 1)] {
        let mut gate = Gate::new(limit(share));
        (0..failures).for_each(|_| gate.executed(1, 1.0));
        while !gate.verdict(0.95).decided {
            gate.executed(1, 0.0);
        }
        _ = writeln!(text, "{:2} %, {failures} failed {:5}", 100.0 * share, gate.verdict(0.95).n);
    }
    text
}
