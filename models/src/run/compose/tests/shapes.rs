//! Which shapes runs may have, and what is left of them where some do not run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rules;
use crate::run::compose::Rules;
use crate::run::grid::{CostGrid, Point};

fn pairs(shapes: &[Point]) -> Vec<(usize, usize)> {
    shapes.iter().map(|shape| (shape.rows, shape.length)).collect()
}

#[test]
fn few_shapes_are_all_that_runs_may_have() {
    let rules = Rules { few_shapes: true, buckets: [16, 24].into(), max_padded: Some(144), ..rules(12) };
    let shapes = [(1, 16), (1, 24), (2, 16), (2, 24), (4, 16), (4, 24), (8, 16), (9, 16), (6, 24)];
    assert_eq!(pairs(&rules.shapes()), shapes, "cheap ones first");
    assert!(rules.shapes().iter().all(|shape| rules.may_try(*shape)));
    for free in [Rules { few_shapes: false, ..rules.clone() }, Rules { may_pad: false, ..rules }] {
        assert!(free.shapes().is_empty());
    }
}

#[test]
fn where_a_shape_did_not_run_no_larger_one_is_composed() {
    let mut rules = rules(48);
    rules.refuse(Point { rows: 48, length: 16 });
    assert_eq!([8, 9, 16, 17].map(|length| rules.rows_at(length)), [48, 32, 32, 32], "32 x 16 may have run");
    rules.refuse(Point { rows: 8, length: 384 });
    assert_eq!([256, 257, 384, 512].map(|length| rules.rows_at(length)), [32, 4, 4, 4]);
    let mut rules = Rules { buckets: [16, 64].into(), few_shapes: true, ..rules };
    rules.ceilings.clear();
    rules.refuse(Point { rows: 4, length: 64 });
    let left: BTreeSet<(usize, usize)> = pairs(&rules.shapes()).into_iter().filter(|shape| shape.1 == 64).collect();
    assert_eq!(left, [(1, 64), (2, 64)].into());
    assert_eq!(rules.rows_at(16), 48);
}

/// The shapes that are measured where those with more than `most` tokens fail.
fn planned(mut rules: Rules, max_tokens: usize, most: usize) -> (Vec<(usize, usize)>, Rules) {
    let mut grid = CostGrid::new(rules.max_rows, max_tokens);
    let mut tried = Vec::new();
    while let Some(point) = grid.next_point(Duration::MAX, |point| rules.may_try(point)) {
        tried.push((point.rows, point.length));
        assert!(tried.len() < 1000, "it goes on for ever");
        if point.rows * point.length > most {
            rules.refuse(point);
        } else {
            // Company costs nothing: all of it is worth a measurement.
            grid.measured(point, Duration::from_micros(point.length as u64));
        }
    }
    (tried, rules)
}

#[test]
fn nothing_is_measured_that_is_never_served() {
    let rules = Rules { max_padded: Some(16_384), ..rules(64) };
    let (tried, _) = planned(rules, 32_768, usize::MAX);
    assert!(tried.iter().all(|(rows, length)| *rows == 1 || rows * length <= 16_384), "{tried:?}");
    assert!(tried.contains(&(64, 256)) && tried.contains(&(32, 512)) && tried.contains(&(1, 32_768)));
}

#[test]
fn what_fails_is_tried_once_and_what_is_larger_never() {
    let (tried, rules) = planned(rules(64), 8192, 4096);
    assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), tried.len(), "{tried:?}");
    let failed = tried.iter().filter(|(rows, length)| rows * length > 4096).count();
    assert!((1..=8).contains(&failed), "one a length at most: {tried:?}");
    for length in [64, 128, 256, 300, 512, 2048, 8192] {
        assert!(rules.rows_at(length) == 1 || rules.rows_at(length) * length <= 4096, "{length}");
    }
    assert_eq!([64, 128, 512].map(|length| rules.rows_at(length)), [64, 32, 8]);
}
