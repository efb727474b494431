//! The answer, for people: 80 columns.

use std::fmt::Write;

use perch_router::{
    policy::{RolloutPolicy, Step},
    simulate::{Middle, Outcome},
};

use super::{Answer, Case};

pub(super) fn print(answer: &Answer, policy: &RolloutPolicy) -> String {
    let Answer { policy: name, requests_per_second, batch_rows, longest, asked, healthy, table, .. } = answer;
    let mut text = format!(
        "Policy {name}: {} rollouts, each followed for {longest}\n\
         {requests_per_second} requests/s, in batches of {batch_rows}\n\n",
        asked.outcome.runs
    );
    text += "The canary asked about\n";
    text += &case(asked, policy);
    text += "\nA healthy one, at half of each limit\n";
    text += &case(healthy, policy);
    text += "\nFailing  Demoted  Promoted    Until demotion (10 % to 90 %)  Failed requests\n";
    for Case { error_rate, outcome, .. } in table {
        let time = outcome.seconds.map_or("-".to_owned(), spread);
        let failed = outcome.failed_requests.map_or("-".to_owned(), |failed| format!("{:.0}", failed.median));
        let [error_rate, demoted, promoted] = [*error_rate, outcome.demoted, outcome.promoted].map(percent);
        _ = writeln!(text, "{error_rate:>7}  {demoted:>7}  {promoted:>8}  {time:>31}  {failed:>15}");
    }
    text += "\nTimes and counts are medians of the rollouts that were demoted. Requests come\n\
             evenly and fail independently of each other: see docs/judge.md.\n";
    text
}

/// How the rollouts ended, without those ends that none had.
fn case(case: &Case, policy: &RolloutPolicy) -> String {
    let Outcome { demoted, promoted, paused, aborted, suspended, unfinished, .. } = &case.outcome;
    let (failing, slow) = (percent(case.error_rate), percent(case.slow_rate));
    let mut text = format!("{failing} of its requests fail, {slow} are slow:\n{:>7}  demoted\n", percent(*demoted));
    text += &demotion(&case.outcome, policy);
    let others = [
        (promoted, "promoted"),
        (paused, "paused: a gate had too little evidence, or a step waits for somebody"),
        (aborted, "aborted: a gate had too little evidence"),
        (suspended, "suspended: stable fails as well"),
        (unfinished, "unfinished"),
    ];
    for (share, what) in others.into_iter().filter(|(share, _)| **share > 0.0) {
        _ = writeln!(text, "{:>7}  {what}", percent(*share));
    }
    text
}

/// When, by what and at which step.
fn demotion(outcome: &Outcome, policy: &RolloutPolicy) -> String {
    let (Some(seconds), Some(executions), Some(failed)) =
        (outcome.seconds, outcome.executions, outcome.failed_requests)
    else {
        return String::new();
    };
    let steps = policy.strategy.plan().steps;
    let mut text = format!("{:9}after {} (10 % to 90 %)\n", "", spread(seconds));
    _ = writeln!(text, "{:9}{:.0} executions, {:.0} failed requests", "", executions.median, failed.median);
    for (metric, count) in &outcome.by_metric {
        _ = writeln!(text, "{:9}{count} by {metric}", "");
    }
    for (place, count) in &outcome.by_step {
        _ = writeln!(text, "{:9}{count} {}", "", at(&steps, *place));
    }
    text
}

fn at(steps: &[Step], place: usize) -> String {
    let what = match steps.get(place) {
        Some(Step::SetWeight(weight)) => format!("setWeight {weight}"),
        Some(Step::Pause(pause)) => pause.duration.map_or("pause".to_owned(), |duration| format!("pause {duration}")),
        Some(Step::Gate(gate)) => format!("gate {}", gate.metrics.join(", ")),
        Some(Step::Promote(_) | Step::Shadow(_)) => "promote".to_owned(),
        None => return "after promotion".to_owned(),
    };
    format!("at step {} of {} ({what})", place + 1, steps.len())
}

/// `4 min (105 s to 7 min)`.
fn spread(seconds: Middle) -> String {
    format!("{} ({} to {})", time(seconds.median), time(seconds.p10), time(seconds.p90))
}

fn time(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        10.0..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// With as many decimals as it needs, at most two.
fn percent(share: f64) -> String {
    format!("{} %", (share * 10_000.0).round() / 100.0)
}
