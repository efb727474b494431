//! What was promised of healthy canaries: few are demoted, however their requests are batched, fail and end.

use std::fmt::Write;

use perch_router::judge::threshold;

use crate::{
    crowd::{Bulk, Crowd, Delays, Ending, Odds, Threads},
    dice::Dice,
    parallel,
    tables::{ALPHA, Scale, Table, limit},
    traffic::{Fate, Size, Traffic},
};

const SIZES: [(&str, Size); 4] =
    [("1", Size::Rows(1)), ("8", Size::Rows(8)), ("32", Size::Rows(32)), ("1, 8 and 32", Size::Mixed)];
const FATES: [(&str, Fate); 3] = [("alone", Fate::Alone), ("halves", Fate::Halves), ("together", Fate::Together)];
/// 1 s and 5 ms, at 600/s.
const ORDERS: [(&str, Delays); 2] =
    [("failures first", Delays { success: 600, failure: 3 }), ("successes first", Delays { success: 3, failure: 600 })];
/// Runs that are also made one execution at a time through the server's shards.
const TWICE: u64 = 2;
/// Of all runs at half the limit, and of each 2,000 in a cell at the limit.
const MOST_AT_HALF: f64 = 0.001;
const MOST_AT_LIMIT: u64 = 6;

pub fn healthy(scale: &Scale) -> Table {
    let Scale { healthy, crowd, .. } = *scale;
    let (mut text, mut misses) = (String::new(), Vec::new());
    _ = writeln!(
        text,
        "Healthy canaries demoted, of {healthy} runs of {crowd} executions at 600/s, limit 1 %, alpha 0.1 %"
    );
    _ = writeln!(
        text,
        "{:8}{:13}{:10}{:>16}{:>17}  bad executions in a run",
        "rate", "rows", "fail", ORDERS[0].0, ORDERS[1].0
    );
    let mut seeds = (0..).map(|cell: u64| 4_000_000 + cell * 100_000);
    for (rate, half) in [(0.005, true), (0.01, false)] {
        let (mut demoted, mut runs) = (0, 0);
        for (name, size) in SIZES {
            for (how, fate) in FATES {
                _ = write!(text, "{:4} %  {name:13}{how:10}", 100.0 * rate);
                let mut bad = 0;
                for ((order, delays), width) in ORDERS.into_iter().zip([16, 17]) {
                    let cell = format!("rate {rate}, rows {name}, failing {how}, {order}");
                    let odds = Odds::new(Traffic { size, fate, rate });
                    let endings = one_cell(&odds, delays, scale, seeds.next().unwrap_or_default(), &cell);
                    let found: u64 = endings.iter().map(|ending| u64::from(ending.demoted)).sum();
                    bad += endings.iter().map(|ending| ending.bad).sum::<u64>();
                    _ = write!(text, "{found:width$}");
                    (demoted, runs) = (demoted + found, runs + healthy);
                    if !half && found * 2000 > MOST_AT_LIMIT * healthy {
                        misses.push(format!("{cell}: {found} of {healthy} demoted, expected at most {MOST_AT_LIMIT}"));
                    }
                }
                _ = writeln!(text, "{:25}", bad / (2 * healthy));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        if half && demoted as f64 > MOST_AT_HALF * runs as f64 {
            misses.push(format!("at half the limit {demoted} of {runs} demoted, expected at most 0.1 %"));
        }
        _ = writeln!(text, "{:4} %  all: {demoted} of {runs}", 100.0 * rate);
    }
    Table { text, misses }
}

/// How each run ended.
fn one_cell(odds: &Odds, delays: Delays, scale: &Scale, seed: u64, cell: &str) -> Vec<Ending> {
    let (enough, executions) = (threshold(1, ALPHA), scale.crowd.into());
    parallel::map(scale.healthy, |run| {
        let dice = || Dice::new(seed + run);
        let ending = Crowd::new(odds, limit(0.01), delays, Bulk::default(), dice()).run(executions, enough);
        if run < TWICE {
            let again = Crowd::new(odds, limit(0.01), delays, Threads::default(), dice()).run(executions, enough);
            assert_eq!(again, ending, "{cell}: shards say otherwise");
        }
        ending
    })
}
