//! Reports that come as they like, and what stays of boots that are gone.

use std::{collections::BTreeMap, time::Duration};

use perch_router::{
    evidence::Counts,
    fleet::{Pool, Report, Reports, SILENT, Share},
};
use proptest::prelude::*;

use crate::world::METRIC;

/// What a boot with `executions` executions says as of a tick.
fn report(tick: u64, executions: u64) -> Report {
    let counts = Counts { executions, rows: executions, ..Counts::default() };
    let share = Share { counts, all: [-0.01 * f64::from(u32::try_from(executions).unwrap()); 12], ..Share::default() };
    Report { tick, shares: [(METRIC.to_owned(), share)].into(), last: false }
}

fn reports(all: &[(&str, u64, u64)]) -> Reports {
    let mut reports = Reports::default();
    all.iter().for_each(|(boot, tick, executions)| assert!(reports.put(boot, report(*tick, *executions))));
    reports
}

#[expect(clippy::unnecessary_wraps, reason = "what a cut asks for")]
const fn lives(_: &str) -> Option<Duration> {
    Some(Duration::ZERO)
}

fn executions(pool: &Pool) -> u64 {
    pool.metric(METRIC).unwrap().counts().executions
}

#[test]
fn the_newest_tick_that_all_have_reported() {
    let pool = Pool::new([METRIC]);
    let tick = |all: &Reports, ages: &[(&str, u64)]| {
        let ages: BTreeMap<&str, Duration> =
            ages.iter().map(|(boot, age)| (*boot, Duration::from_millis(*age))).collect();
        all.cut(&pool, |boot| ages.get(boot).copied()).map(|cut| (cut.tick, cut.rows.len()))
    };
    let all = reports(&[("a", 7, 1), ("a", 8, 2), ("a", 9, 3), ("b", 7, 1), ("b", 8, 1), ("c", 6, 1), ("c", 7, 1)]);
    assert_eq!(tick(&all, &[("a", 0), ("b", 100), ("c", 1999)]), Some((7, 3)));
    assert_eq!(tick(&all, &[("a", 0), ("b", 100), ("c", 2000)]), Some((8, 3)), "c is buried with its last");
    assert_eq!(tick(&all, &[("a", 0)]), Some((9, 3)));
    assert_eq!(tick(&all, &[]), None, "nobody is left who could ask");
    // A tick that one has missed is none.
    let all = reports(&[("a", 7, 1), ("a", 8, 2), ("a", 9, 3), ("b", 7, 1), ("b", 9, 1)]);
    assert_eq!(all.cut(&pool, lives).unwrap().tick, 9);
    let all = reports(&[("a", 7, 1), ("a", 8, 2), ("b", 7, 1), ("b", 9, 1)]);
    assert_eq!(all.cut(&pool, lives).unwrap().tick, 7);
    // One that began later had seen nothing.
    let all = reports(&[("a", 7, 1), ("a", 8, 2), ("b", 9, 1)]);
    assert_eq!(tick(&all, &[("a", 0), ("b", 0)]), Some((8, 1)));
    // One that has said that it ends.
    let mut all = reports(&[("a", 7, 1), ("a", 8, 2)]);
    all.put("b", Report { last: true, ..report(7, 5) });
    assert_eq!(tick(&all, &[("a", 0), ("b", 0)]), Some((8, 2)));
    assert_eq!(SILENT, Duration::from_secs(2));
}

#[test]
fn what_is_older_or_smaller_changes_nothing() {
    let mut all = reports(&[("a", 5, 10), ("a", 8, 20)]);
    let before = all.clone();
    for (tick, count) in [(5, 10), (5, 9), (9, 19), (4, 11), (6, 9), (7, 21), (8, 19)] {
        assert!(!all.put("a", report(tick, count)), "{tick} {count}");
        assert_eq!(all, before);
    }
    // A metric is missing.
    assert!(!all.put("a", Report { tick: 9, ..Report::default() }));
    // Late, and right.
    assert!(all.put("a", report(6, 15)));
    assert!(all.put("a", report(9, 20)));

    let pool = Pool::new([METRIC]).advance(&all.cut(&Pool::new([METRIC]), lives).unwrap());
    assert_eq!((pool.tick(), executions(&pool)), (9, 20));
    // Back, or the same again.
    for tick in [8, 9] {
        let old = reports(&[("a", tick, 500)]);
        let cut = old.cut(&Pool::new([METRIC]), lives).unwrap();
        assert_eq!((cut.tick, pool.advance(&cut)), (tick, pool.clone()));
    }
    // Smaller: another boot of the same name.
    let other = reports(&[("a", 10, 19)]);
    assert_eq!(pool.advance(&other.cut(&pool, lives).unwrap()), pool);
    // A boot that is in the sums is not among what was read, and another has more than it had.
    let part = reports(&[("b", 10, 100)]);
    assert_eq!(pool.advance(&part.cut(&pool, lives).unwrap()), pool);
}

#[test]
fn the_dead_stay_in_the_sum_and_are_not_heard_again() {
    let mut all = reports(&[("a", 1, 10), ("b", 1, 5), ("a", 20, 30), ("b", 3, 6)]);
    let only_a = |boot: &str| (boot == "a").then_some(Duration::ZERO);
    let pool = Pool::new([METRIC]);
    let pool = pool.advance(&all.cut(&pool, only_a).unwrap());
    assert_eq!((pool.tick(), executions(&pool), pool.is_buried("b"), pool.is_buried("a")), (20, 36, true, false));
    // It was not dead.
    all.put("b", report(21, 50));
    all.put("a", report(21, 31));
    let late = pool.advance(&all.cut(&pool, lives).unwrap());
    assert_eq!((late.tick(), executions(&late)), (21, 37));
    // Its rows may be thrown away, and come back.
    all.trim(&late);
    assert_eq!(all.len(), 1);
    all.put("b", report(22, 60));
    all.put("b.1", report(22, 4));
    all.put("a", report(22, 31));
    let later = late.advance(&all.cut(&late, lives).unwrap());
    assert_eq!((later.tick(), executions(&later)), (22, 41));
    let wealth = later.metric(METRIC).unwrap().log_e();
    let half = 0.5_f64.mul_add((-0.41_f64).exp(), 0.5).ln();
    assert!((wealth - half).abs() < 1e-9, "{wealth} for {half}");
}

fn some() -> impl Strategy<Value = Vec<(u8, u64)>> {
    proptest::collection::vec((0..4_u8, 0..10_u64), 0..20)
}

fn put(all: &[(u8, u64)]) -> Reports {
    let mut reports = Reports::default();
    for (boot, tick) in all {
        reports.put(&boot.to_string(), report(*tick, tick * u64::from(boot + 1)));
    }
    reports
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_merge_in_any_order(a in some(), b in some()) {
        let merged = |one: &Reports, two: &Reports| {
            let mut merged = one.clone();
            merged.merge(two);
            merged
        };
        let (one, two) = (put(&a), put(&b));
        let both = merged(&one, &two);
        prop_assert_eq!(&both, &merged(&two, &one));
        prop_assert_eq!(&both, &merged(&both, &one));
        let wire = serde_json::to_string(&both).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Reports>(&wire).unwrap(), &both);
    }
}

/// Bad executions as of `tick`, of a boot that knew of `first` epochs when it began, and knows of `epochs`.
fn bad(tick: u64, count: u64, first: u64, epochs: u64) -> Report {
    let mut report = report(tick, count);
    let share = report.shares.get_mut(METRIC).unwrap();
    (share.counts.bad_executions, share.first, share.epochs) = (count, first, epochs);
    report
}

#[test]
fn a_boot_that_has_counted_before_it_was_known_is_not_counted_where_an_epoch_is_folded() {
    let (mut all, mut pool) = (Reports::default(), Pool::new([METRIC]));
    // An epoch opens, and all know of it.
    for (tick, epochs) in [(10, 0), (20, 1)] {
        all.put("a", bad(tick, 1, 0, epochs));
        pool = pool.advance(&all.cut(&pool, lives).unwrap());
        assert_eq!(pool.metric(METRIC).unwrap().epochs(), 1);
    }
    all.put("a", bad(21, 1, 0, 1));
    all.put("late", bad(21, 7, 0, 1));
    all.put("new", bad(21, 0, 0, 0));
    all.put("knows", bad(21, 5, 1, 1));
    pool = pool.advance(&all.cut(&pool, lives).unwrap());
    assert_eq!((pool.is_buried("late"), pool.is_buried("new"), pool.is_buried("knows")), (true, false, false));
    assert_eq!(executions(&pool), 6);
}
