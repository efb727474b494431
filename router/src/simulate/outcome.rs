//! What came of all runs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::num::float;

/// How one run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ending {
    pub how: How,
    /// In seconds.
    pub at: f64,
    /// Executions of the canary.
    pub executions: u64,
    /// Requests that it failed.
    pub failed: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    /// By this metric, at this step.
    Demoted(String, usize),
    Promoted,
    Paused,
    Aborted,
    Suspended,
    Unfinished,
}

/// What came of all runs. Shares are of all runs, 0 to 1, and add up to one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Rollouts.
    pub runs: u32,
    /// Taken out by the judge.
    pub demoted: f64,
    /// Promoted, and not taken back while the old version was loaded.
    pub promoted: f64,
    /// Waiting for somebody at the end, and not demoted so far.
    pub paused: f64,
    /// Taken out by a gate.
    pub aborted: f64,
    /// Waiting for stable at the end, which fails as well.
    pub suspended: f64,
    /// Neither, in the time they were followed.
    pub unfinished: f64,
    /// Of those that were demoted: seconds until then.
    pub seconds: Option<Middle>,
    /// Of those that were demoted: executions of the canary until then.
    pub executions: Option<Middle>,
    /// Of those that were demoted: requests that the canary failed until then.
    pub failed_requests: Option<Middle>,
    /// Which metric demoted, and how often.
    pub by_metric: BTreeMap<String, u32>,
    /// At which step it did, counting from 0, and how often; the number of steps: after promotion.
    pub by_step: BTreeMap<usize, u32>,
}

/// The middle of many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Middle {
    /// A tenth are below.
    pub p10: f64,
    /// Half are below.
    pub median: f64,
    /// Nine tenths are below.
    pub p90: f64,
}

impl Middle {
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = numbers.collect();
        all.sort_unstable_by(f64::total_cmp);
        let last = all.len().checked_sub(1)?;
        let at = |tenths: usize| all.get((last * tenths + 5) / 10).copied();
        Some(Self { p10: at(1)?, median: at(5)?, p90: at(9)? })
    }
}

pub(super) fn of(endings: &[Ending]) -> Outcome {
    let runs = u32::try_from(endings.len()).unwrap_or(u32::MAX);
    let share = |which: fn(&How) -> bool| {
        float(endings.iter().filter(|ending| which(&ending.how)).count() as u64) / f64::from(runs.max(1))
    };
    let demoted = || endings.iter().filter(|ending| matches!(ending.how, How::Demoted(..)));
    let (mut by_metric, mut by_step) = (BTreeMap::new(), BTreeMap::new());
    for ending in endings {
        if let How::Demoted(metric, step) = &ending.how {
            *by_metric.entry(metric.clone()).or_default() += 1;
            *by_step.entry(*step).or_default() += 1;
        }
    }
    Outcome {
        runs,
        demoted: share(|how| matches!(how, How::Demoted(..))),
        promoted: share(|how| *how == How::Promoted),
        paused: share(|how| *how == How::Paused),
        aborted: share(|how| *how == How::Aborted),
        suspended: share(|how| *how == How::Suspended),
        unfinished: share(|how| *how == How::Unfinished),
        seconds: Middle::of(demoted().map(|ending| ending.at)),
        executions: Middle::of(demoted().map(|ending| float(ending.executions))),
        failed_requests: Middle::of(demoted().map(|ending| float(ending.failed))),
        by_metric,
        by_step,
    }
}
