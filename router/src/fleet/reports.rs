//! What all boots have reported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Pool, Report};

/// Reports by boot and tick. In whatever order they come, and however often, the same are kept.
///
/// More than the latest of each is needed: boots write at different moments, and the pool moves to a tick that all have
/// reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reports(pub(super) BTreeMap<String, BTreeMap<u64, Report>>);

impl Reports {
    /// Boot `boot` has reported. False, and nothing, where that is known already, or cannot be of a boot that has
    /// reported the rest: its counts are smaller than in an older report, or larger than in a later one.
    pub fn put(&mut self, boot: &str, report: Report) -> bool {
        let known = self.0.entry(boot.to_owned()).or_default();
        let fits = known.range(..report.tick).next_back().is_none_or(|(_, before)| report.follows(before))
            && known.range(report.tick + 1..).next().is_none_or(|(_, after)| after.follows(&report))
            // The same tick again, with more.
            && known.get(&report.tick).is_none_or(|same| report.follows(same) && report != *same);
        if fits {
            known.insert(report.tick, report);
        }
        fits
    }

    /// Takes what another knows.
    pub fn merge(&mut self, other: &Self) {
        for (boot, reports) in &other.0 {
            reports.values().for_each(|report| _ = self.put(boot, report.clone()));
        }
    }

    /// Reports that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what `pool` needs no longer: those of buried boots, which are in its total, and of others all that are
    /// older than the last one before its tick.
    pub fn trim(&mut self, pool: &Pool) {
        self.0.retain(|boot, reports| {
            let newest = reports.range(..=pool.tick()).next_back().map_or(0, |(tick, _)| *tick);
            reports.retain(|tick, _| *tick >= newest);
            !pool.is_buried(boot)
        });
    }
}
