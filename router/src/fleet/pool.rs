//! The chain of all replicas.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cut, Row, Share, TICK, Total};
use crate::{
    evidence::Counts,
    judge::{
        Sums, Verdict,
        mixture::{Mass, Wealth},
    },
    num::float,
};

/// The state of a rollout's pooled test, as it is stored: one row, that moves from tick to tick by compare-and-swap on
/// the tick. From the same reports every reader computes the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    tick: u64,
    /// Boots that are in the sums, and as of which of their reports.
    living: BTreeMap<String, u64>,
    /// Boots of which nothing more is heard.
    buried: BTreeSet<String>,
    metrics: BTreeMap<String, Pooled>,
}

/// One metric of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pooled {
    sums: Sums,
    /// Of all boots, as of the tick.
    total: Total,
    /// Of those that are buried.
    gone: Total,
}

impl Pool {
    /// Before anything was reported, for these metrics.
    #[must_use]
    pub fn new<'a>(metrics: impl IntoIterator<Item = &'a str>) -> Self {
        let nothing = || Pooled { sums: Sums::new(&Mass::new(), 0), total: Total::default(), gone: Total::default() };
        let metrics = metrics.into_iter().map(|name| (name.to_owned(), nothing())).collect();
        Self { metrics, ..Self::default() }
    }

    /// As of which tick it is.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether nothing more is heard of this boot: if it lives, it has to begin again.
    #[must_use]
    pub fn is_buried(&self, boot: &str) -> bool {
        self.buried.contains(boot)
    }

    /// The names of its metrics, and how many epochs each has opened.
    pub fn epochs(&self) -> impl Iterator<Item = (&str, u64)> {
        self.metrics.iter().map(|(name, pooled)| (name.as_str(), pooled.epochs()))
    }

    /// One metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Pooled> {
        self.metrics.get(name)
    }

    /// Whether a boot that is heard for the first time has counted executions before it knew of an epoch that is folded by
    /// now, as nobody knew that there was somebody to wait for. They would take part in that epoch's bets: it is buried
    /// uncounted, and begins again.
    #[must_use]
    pub fn is_late(&self, row: &Row) -> bool {
        let is_late = |(name, share): (&String, &Share)| self.metric(name).is_some_and(|pooled| pooled.is_late(share));
        !self.living.contains_key(row.boot) && row.report.shares.iter().any(is_late)
    }

    /// The pool as of the cut's tick. Itself, where that is not later, or the cut lacks something that is in the sums
    /// already, or has heard of epochs that this pool has not: then it was read in part, or with another pool.
    #[must_use]
    pub fn advance(&self, cut: &Cut) -> Self {
        let mut next = Self { tick: cut.tick, ..self.clone() };
        let (late, rows): (Vec<&Row>, Vec<&Row>) = cut.rows.iter().partition(|row| self.is_late(row));
        let fits = cut.tick > self.tick
            && cut.rows.iter().all(|row| !self.is_buried(row.boot))
            && self.living.iter().all(|(boot, tick)| cut.row(boot).is_some_and(|row| row.report.tick >= *tick))
            && next.metrics.iter_mut().all(|(name, pooled)| pooled.advance(name, &rows, cut.tick));
        if !fits {
            return self.clone();
        }
        let (buried, living): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|row| row.buried);
        next.buried.extend(buried.into_iter().chain(late).map(|row| row.boot.to_owned()));
        next.living = living.into_iter().map(|row| (row.boot.to_owned(), row.report.tick)).collect();
        next
    }
}

impl Pooled {
    /// False where it cannot.
    fn advance(&mut self, name: &str, rows: &[&Row], tick: u64) -> bool {
        let (mut mass, mut total) = (self.sums.mass(), self.gone);
        let epochs = mass.epochs;
        let shares = || rows.iter().filter_map(|row| Some((row, row.report.shares.get(name)?)));
        if shares().any(|(_, share)| share.epochs > epochs) {
            return false;
        }
        for (row, share) in shares() {
            total.add(share, epochs);
            if row.buried {
                self.gone.add(share, epochs);
            }
        }
        if !total.follows(&self.total) {
            return false;
        }
        multiply_by_change(&mut mass.start, &total.all, &self.total.all);
        if let Some(pending) = &mut mass.pending {
            multiply_by_change(pending, &total.young, &self.total.young);
        }
        // From here on whatever happens multiplies both alike: all know of the epoch, and what is older has ended. What was
        // in flight on boots that have been buried stays as it is, and is not waited for.
        if shares().all(|(_, share)| share.epochs == epochs && share.older == 0) {
            mass.fold();
        }
        let bad = total.counts.bad_executions;
        if bad > self.total.counts.bad_executions && mass.open(float(tick) * TICK.as_secs_f64()) {
            // Nobody knows of it yet.
            (total.young, self.gone.young) = (Wealth::default(), Wealth::default());
        }
        self.sums = Sums::new(&mass, bad);
        self.total = total;
        true
    }

    fn is_late(&self, share: &Share) -> bool {
        share.counts.executions > 0 && share.first + u64::from(self.sums.pending.is_some()) < self.sums.epochs
    }

    /// Epochs opened so far: what replicas have to [learn](super::Member::learn).
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.sums.epochs
    }

    /// Executions of all boots.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.total.counts
    }

    /// log E, to the base e.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.sums.mass().log_e()
    }

    /// What the pool says of a limit of `limit` (0 to 1): demote at `enough` ([`super::pooled_threshold`]) and with
    /// `min_failures` executions that had bad rows.
    #[must_use]
    pub fn verdict(&self, limit: f64, enough: f64, min_failures: u64) -> Verdict {
        let (counts, evidence) = (self.total.counts, self.log_e());
        Verdict {
            value: if counts.rows == 0 { 0.0 } else { float(counts.bad_rows) / float(counts.rows) },
            limit,
            evidence,
            enough,
            n: counts.executions,
            bad: counts.bad_executions,
            decided: evidence >= enough && counts.bad_executions >= min_failures,
        }
    }
}

fn multiply_by_change(wealth: &mut Wealth, now: &Wealth, before: &Wealth) {
    for ((wealth, now), before) in wealth.iter_mut().zip(now).zip(before) {
        *wealth += now - before;
    }
}
