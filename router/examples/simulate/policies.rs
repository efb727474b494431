//! What the presets do: how soon a canary that fails from its first request is demoted, and what becomes of a healthy one.

use std::fmt::Write;

use perch_router::{
    policy::{RolloutPolicy, Span},
    simulate::{Inputs, Outcome, healthy_rates, simulate},
};

use crate::parallel;

/// Of each cell. Odd, for the median.
const RUNS: u32 = 201;
/// Healthy ones of each cell.
const HEALTHY: u32 = 1000;
const HOURS: u64 = 12;
const FAILING: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
const PER_SECOND: [f64; 3] = [1.0, 10.0, 100.0];

/// The same numbers on every run: a test compares them.
pub fn presets() -> String {
    let mut text = String::new();
    for name in RolloutPolicy::PRESETS {
        let policy = RolloutPolicy::preset(name).expect("a preset");
        text += &failing(name, &policy);
        text += "\n";
        text += &healthy(name, &policy);
        text += "\n";
    }
    text
}

fn outcome(policy: &RolloutPolicy, per_second: f64, rates: (f64, f64), runs: u32) -> Outcome {
    let inputs = Inputs {
        policy,
        requests_per_second: per_second,
        batch_rows: 1,
        error_rate: rates.0,
        slow_rate: rates.1,
        stable_error_rate: 0.0,
        runs,
        seed: 1,
        longest: Span::mins(HOURS * 60),
    };
    simulate(&inputs).expect("inputs that are right")
}

fn failing(name: &str, policy: &RolloutPolicy) -> String {
    let cells = PER_SECOND.len() * FAILING.len();
    let found = parallel::map(cells as u64, |cell| {
        let cell = usize::try_from(cell).expect("small");
        let (per_second, rate) = (PER_SECOND[cell / FAILING.len()], FAILING[cell % FAILING.len()]);
        outcome(policy, per_second, (rate, 0.0), RUNS)
    });
    let mut text = format!(
        "{name}: a canary that fails from its first request, until it is demoted\n\
         medians of those demoted, of {RUNS} runs of {HOURS} h; requests/s are those of both tracks, in batches of 1\n"
    );
    _ = writeln!(
        text,
        "{:28}{}",
        "share of requests that fail",
        FAILING.map(|rate| format!("{:>6} %", 100.0 * rate)).concat()
    );
    for (per_second, found) in PER_SECOND.into_iter().zip(found.chunks(FAILING.len())) {
        let mut row = |what: &str, cell: &dyn Fn(&Outcome) -> Option<String>| {
            let cells: String =
                found.iter().map(|outcome| format!("{:>8}", cell(outcome).unwrap_or("-".to_owned()))).collect();
            _ = writeln!(text, "{:28}{cells}", format!("{per_second:>3}/s  {what}"));
        };
        row("time", &|outcome| Some(time(outcome.seconds?.median)));
        row("executions", &|outcome| Some(format!("{:.0}", outcome.executions?.median)));
        row("failed requests", &|outcome| Some(format!("{:.0}", outcome.failed_requests?.median)));
        row("demoted, of 100", &|outcome| Some(format!("{:.0}", 100.0 * outcome.demoted)));
    }
    text
}

fn healthy(name: &str, policy: &RolloutPolicy) -> String {
    let half = healthy_rates(policy);
    let all = [half, (half.0 / 5.0, half.1 / 5.0)];
    let found = parallel::map((all.len() * PER_SECOND.len()) as u64, |cell| {
        let cell = usize::try_from(cell).expect("small");
        outcome(policy, PER_SECOND[cell % PER_SECOND.len()], all[cell / PER_SECOND.len()], HEALTHY)
    });
    let mut text = format!(
        "{name}: healthy canaries, at half and at a tenth of each limit; {HEALTHY} runs of {HOURS} h\n\
         failing    slow  requests/s   demoted  promoted    paused  unfinished\n"
    );
    for (rates, found) in all.into_iter().zip(found.chunks(PER_SECOND.len())) {
        for (per_second, outcome) in PER_SECOND.into_iter().zip(found) {
            let of = |share: f64| (share * f64::from(HEALTHY)).round();
            let Outcome { demoted, promoted, paused, unfinished, .. } = *outcome;
            _ = write!(text, "{:5.1} % {:5.1} %{per_second:12}", 100.0 * rates.0, 100.0 * rates.1);
            _ = writeln!(text, "{:10}{:10}{:10}{:12}", of(demoted), of(promoted), of(paused), of(unfinished));
        }
    }
    text
}

fn time(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        10.0..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
