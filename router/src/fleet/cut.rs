//! Which tick may be judged, and by whose reports.

use std::{collections::BTreeMap, time::Duration};

use super::{Pool, Report, Reports};

/// A boot that has not written for so long holds nobody up.
pub const SILENT: Duration = Duration::from_secs(2);

/// What has been reported as of one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut<'a> {
    /// The tick.
    pub tick: u64,
    /// One of each boot, in the order of their names.
    pub rows: Vec<Row<'a>>,
}

impl<'a> Cut<'a> {
    /// That of one boot.
    #[must_use]
    pub fn row(&self, boot: &str) -> Option<&Row<'a>> {
        let place = self.rows.binary_search_by(|row| row.boot.cmp(boot)).ok()?;
        self.rows.get(place)
    }
}

/// One boot's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// Its name.
    pub boot: &'a str,
    /// As of the tick, or its last before it.
    pub report: &'a Report,
    /// That it is to be buried: what it has seen stays, what it may still say is not heard.
    pub buried: bool,
}

/// How a boot stands to a tick.
enum Standing<'a> {
    Counts(Row<'a>),
    /// Its first report is later: it had seen nothing by then.
    Unborn,
    /// It may have seen something by then, and has not said what.
    Missing,
}

impl Reports {
    /// The newest tick after the pool's that everybody has reported who lives, that is, whose last write is less than
    /// [`SILENT`] ago by the store's clock: `age` says how long, and nothing of those who have never written. None where
    /// there is no such tick.
    ///
    /// Others are buried when their last report is not later than that tick. They may only seem dead. If such a boot
    /// were heard again, executions would be debited after others that started later, and an execution be credited to an
    /// epoch that it did not debit; so it has to begin again ([`super::Member::learn`]).
    pub fn cut(&self, pool: &Pool, age: impl Fn(&str) -> Option<Duration>) -> Option<Cut<'_>> {
        let boots: Vec<(&str, &BTreeMap<u64, Report>, bool)> = self
            .0
            .iter()
            .filter(|(boot, reports)| !pool.is_buried(boot) && !reports.is_empty())
            .map(|(boot, reports)| (boot.as_str(), reports, age(boot).is_some_and(|age| age < SILENT)))
            .collect();
        let mut ticks: Vec<u64> = boots
            .iter()
            .filter(|(.., lives)| *lives)
            .flat_map(|(_, reports, _)| reports.range(pool.tick() + 1..).map(|(tick, _)| *tick))
            .collect();
        ticks.sort_unstable();
        ticks.dedup();
        ticks.into_iter().rev().find_map(|tick| {
            let mut rows = Vec::with_capacity(boots.len());
            for (boot, reports, lives) in &boots {
                match standing(boot, reports, *lives, tick) {
                    Standing::Counts(row) => rows.push(row),
                    Standing::Unborn => {}
                    Standing::Missing => return None,
                }
            }
            Some(Cut { tick, rows })
        })
    }
}

fn standing<'a>(boot: &'a str, reports: &'a BTreeMap<u64, Report>, lives: bool, tick: u64) -> Standing<'a> {
    let later = reports.range(tick + 1..).next().is_some();
    match reports.range(..=tick).next_back() {
        None => Standing::Unborn,
        // Its last word, by its own account or because it has been silent for too long.
        Some((_, report)) if !later && (report.last || !lives) => Standing::Counts(Row { boot, report, buried: true }),
        Some((at, report)) if *at == tick => Standing::Counts(Row { boot, report, buried: false }),
        Some(_) => Standing::Missing,
    }
}
