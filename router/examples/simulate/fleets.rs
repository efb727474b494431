//! What fleets do: `--fleet`.

use std::fmt::Write;

use crate::{
    fleet::{Case, Ending, run},
    parallel,
};

/// How much is simulated.
pub struct Scale {
    pub sizes: &'static [u32],
    pub medians: u64,
    pub healthy: u64,
    /// Seconds of a healthy run.
    pub longest: u64,
}

pub const SHORT: Scale = Scale { sizes: &[1, 3, 10], medians: 5, healthy: 10, longest: 30 };

const MS: u64 = 1000;

/// Executions that fail by the tenth, 10/s on all replicas, each 20 ms. Reports take up to 20 ms, notifications up to
/// 10 ms, and clocks are wrong by up to 20 ms.
const BROKEN: Case = Case {
    replicas: 1,
    rate: 10.0,
    fails: 0.1,
    success: 20 * MS,
    failure: 20 * MS,
    alpha: 0.001,
    vetoes: true,
    pooled: true,
    notice: 10 * MS,
    lost: 0.0,
    write: 20 * MS,
    skew: 20 * MS,
    deaths: 0.0,
    longest: 100_000,
};

/// Failures that end at once, successes that take a second; replicas that die; everything late.
const HEALTHY: Case = Case {
    replicas: 30,
    rate: 100.0,
    fails: 0.01,
    success: 1000 * MS,
    failure: 5 * MS,
    alpha: 0.1,
    notice: 50 * MS,
    lost: 0.2,
    write: 200 * MS,
    skew: 100 * MS,
    deaths: 0.0005,
    ..BROKEN
};

pub fn tables(scale: &Scale) -> String {
    let mut text = format!(
        "Fleets: 10 % of a canary's executions fail, 10/s on all replicas; limit 1 %, alpha 0.1 %, M = 1\n\
         medians of {} runs: seconds until the last replica stops / executions that failed until then\n\
         {:>8}{:>16}{:>16}{:>16}{:>16}{:>16}{:>16}\n",
        scale.medians,
        "replicas",
        "each for itself",
        "one for all",
        "pooled",
        "slow notices",
        "all are lost",
        "late, skewed"
    );
    for &replicas in scale.sizes {
        let pooled = Case { replicas, ..BROKEN };
        let cases = [
            Case { vetoes: false, pooled: false, ..pooled },
            Case { pooled: false, ..pooled },
            pooled,
            Case { notice: 500 * MS, ..pooled },
            Case { lost: 1.0, ..pooled },
            Case { write: 200 * MS, skew: 100 * MS, lost: 0.2, ..pooled },
        ];
        _ = write!(text, "{replicas:8}");
        for case in cases {
            let endings = parallel::map(scale.medians, |seed| run(&case, 9_000_000 + seed));
            let time = median(endings.iter().map(|ending| ending.stopped.unwrap_or(f64::INFINITY)).collect());
            let failed = median(endings.iter().map(failures).collect());
            _ = write!(text, "{:>16}", format!("{time:.1} / {failed}"));
        }
        _ = writeln!(text);
    }
    text + "\n" + &healthy(scale)
}

fn failures(ending: &Ending) -> f64 {
    u32::try_from(ending.failed).map_or(f64::INFINITY, f64::from)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

fn healthy(scale: &Scale) -> String {
    let (Scale { healthy, longest, .. }, alpha) = (scale, 100.0 * HEALTHY.alpha);
    let mut text = format!(
        "Healthy fleets of 30 replicas demoted, of {healthy} runs of {longest} s at 100/s; limit 1 %, alpha {alpha} %\n\
         failures take 5 ms, successes 1 s; clocks, reports and notices late; replicas die\n    rate   by the pool   by one alone    share\n"
    );
    let case = Case { longest: *longest, ..HEALTHY };
    let endings = parallel::map(*healthy, |seed| run(&case, 9_500_000 + seed));
    let [pool, one] = [|ending: &Ending| ending.by_pool, |ending: &Ending| ending.by_one]
        .map(|by| endings.iter().filter(|ending| by(ending)).count());
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let share = 100.0 * (pool + one) as f64 / *healthy as f64;
    _ = writeln!(text, "{:6} %{pool:14}{one:15}{share:7.1} %", 100.0 * case.fails);
    text
}
