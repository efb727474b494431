//! What was seen of a rollout, in counts that add up over threads, replicas and restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::track::Track;

/// Executions of one track, by one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Executions.
    pub executions: u64,
    /// Those with bad rows.
    pub bad_executions: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that went badly.
    pub bad_rows: u64,
}

impl Counts {
    /// One execution of `rows` rows, `bad` of them badly.
    pub fn record(&mut self, rows: u32, bad: u32) {
        let bad = bad.min(rows);
        self.add(&Self { executions: 1, bad_executions: u64::from(bad > 0), rows: rows.into(), bad_rows: bad.into() });
    }

    /// Adds another's counts to these.
    pub const fn add(&mut self, other: &Self) {
        self.executions = self.executions.saturating_add(other.executions);
        self.bad_executions = self.bad_executions.saturating_add(other.bad_executions);
        self.rows = self.rows.saturating_add(other.rows);
        self.bad_rows = self.bad_rows.saturating_add(other.bad_rows);
    }
}

/// Counts of both tracks, by the metric's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence(BTreeMap<String, Both>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Both {
    stable: Counts,
    canary: Counts,
}

impl Both {
    const fn of(&mut self, track: Track) -> &mut Counts {
        match track {
            Track::Stable => &mut self.stable,
            Track::Canary => &mut self.canary,
        }
    }
}

impl Evidence {
    /// Counts of a track by a metric, to be added to.
    pub fn entry(&mut self, metric: &str, track: Track) -> &mut Counts {
        self.0.entry(metric.to_owned()).or_default().of(track)
    }

    /// Counts of a track by a metric.
    #[must_use]
    pub fn counts(&self, metric: &str, track: Track) -> Counts {
        let mut both = self.0.get(metric).copied().unwrap_or_default();
        *both.of(track)
    }

    /// Adds another's counts to these.
    pub fn add(&mut self, other: &Self) {
        for (metric, both) in &other.0 {
            for (track, counts) in [(Track::Stable, &both.stable), (Track::Canary, &both.canary)] {
                self.entry(metric, track).add(counts);
            }
        }
    }
}

/// What all replicas have seen of one rollout: the latest of each replica's boots, for ever. Merging the same rows in
/// any order, any number of times, comes to the same (a state-based, grow-only CRDT: Shapiro et al., "Conflict-free
/// replicated data types", 2011).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet(BTreeMap<String, Row>);

/// One boot's evidence; a boot counts from zero, and what it wrote later has the larger number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    sequence: u64,
    evidence: Evidence,
}

impl Fleet {
    /// Boot `boot` has seen `evidence` in all, as it wrote for the `sequence`-th time. Nothing, if it has written since.
    pub fn put(&mut self, boot: &str, sequence: u64, evidence: Evidence) {
        if self.0.get(boot).is_none_or(|row| row.sequence < sequence) {
            self.0.insert(boot.to_owned(), Row { sequence, evidence });
        }
    }

    /// Takes what another knows better.
    pub fn merge(&mut self, other: &Self) {
        for (boot, row) in &other.0 {
            self.put(boot, row.sequence, row.evidence.clone());
        }
    }

    /// All boots' counts, added up.
    #[must_use]
    pub fn total(&self) -> Evidence {
        let mut total = Evidence::default();
        self.0.values().for_each(|row| total.add(&row.evidence));
        total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What boot `boot` had seen when it wrote for the `sequence`-th time: it only grows.
    fn seen(boot: u32, sequence: u32) -> Evidence {
        let mut evidence = Evidence::default();
        for n in 0..sequence {
            evidence.entry("errors", Track::ALL[(n % 2) as usize]).record(1 + boot + n, n % 3);
            evidence.entry("latency", Track::Canary).record(boot + 1, n);
        }
        evidence
    }

    fn fleet(rows: &[(u32, u32)]) -> Fleet {
        let mut fleet = Fleet::default();
        rows.iter().for_each(|&(boot, sequence)| fleet.put(&boot.to_string(), sequence.into(), seen(boot, sequence)));
        fleet
    }

    fn merged(one: &Fleet, two: &Fleet) -> Fleet {
        let mut merged = one.clone();
        merged.merge(two);
        merged
    }

    fn rows() -> impl Strategy<Value = Vec<(u32, u32)>> {
        proptest::collection::vec((0..5_u32, 0..20_u32), 0..15)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fleets_merge_in_any_order(a in rows(), b in rows(), c in rows()) {
            let all: Vec<_> = [a.clone(), b.clone(), c.clone()].concat();
            let (a, b, c) = (fleet(&a), fleet(&b), fleet(&c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a.clone());
            // The latest of each boot, and nothing twice.
            let mut expected = Evidence::default();
            for boot in 0..5 {
                if let Some(latest) = all.iter().filter(|row| row.0 == boot).map(|row| row.1).max() {
                    expected.add(&seen(boot, latest));
                }
            }
            prop_assert_eq!(merged(&merged(&c, &a), &b).total(), expected);
        }
    }

    #[test]
    fn counts_are_by_metric_and_track() {
        let mut evidence = Evidence::default();
        evidence.entry("errors", Track::Canary).record(8, 2);
        evidence.entry("errors", Track::Canary).record(4, 9);
        evidence.entry("errors", Track::Stable).record(1, 0);
        let expected = Counts { executions: 2, bad_executions: 2, rows: 12, bad_rows: 6 };
        assert_eq!(evidence.counts("errors", Track::Canary), expected);
        assert_eq!(evidence.counts("errors", Track::Stable).executions, 1);
        assert_eq!(evidence.counts("latency", Track::Stable), Counts::default());
        let wire = serde_json::to_string(&fleet(&[(1, 3), (2, 4)])).unwrap();
        assert_eq!(serde_json::from_str::<Fleet>(&wire).unwrap(), fleet(&[(1, 3), (2, 4)]));
    }
}
