//! What is asked of estimates.

use proptest::prelude::*;

use super::*;

fn millis(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

/// Milliseconds of a model on one thread, with attention.
fn truth(rows: usize, length: usize) -> f64 {
    real(rows * length).mul_add(0.1 + 0.0002 * real(length), 1.0)
}

/// A grid that was measured for at most so many milliseconds, and how many it took.
fn measured(budget: f64) -> (CostGrid, f64) {
    let (mut grid, mut left) = (CostGrid::new(32, 512), budget);
    while let Some(point) = grid.next_point(millis(left.max(0.0)), |_| true) {
        let took = truth(point.rows, point.length);
        grid.measured(point, millis(took));
        left -= took;
    }
    (grid, budget - left)
}

fn error(grid: &CostGrid, rows: usize, length: usize) -> f64 {
    (grid.seconds(rows, length) * 1e3 / truth(rows, length)).ln().abs()
}

#[test]
fn between_measured_points_it_errs_by_a_few_per_cent() {
    let (grid, _) = measured(1e9);
    for rows in 1..=32 {
        for length in 8..=512 {
            assert!(error(&grid, rows, length) < 0.06, "{rows} x {length}: {}", error(&grid, rows, length));
        }
    }
}

#[test]
fn measuring_keeps_to_its_time_and_the_rest_is_inferred() {
    let (grid, took) = measured(400.0);
    assert!(took < 400.0 * 1.05, "{took}");
    for (rows, length) in [(1, 512), (8, 256), (32, 64), (32, 512)] {
        assert!(error(&grid, rows, length) < 0.25, "{rows} x {length}: {}", error(&grid, rows, length));
    }
    assert_eq!(
        CostGrid::new(8, 64).next_point(Duration::ZERO, |_| true),
        Some(Point { rows: 1, length: 8 }),
        "one at least"
    );
}

#[test]
fn rows_that_gain_nothing_are_not_measured() {
    let mut grid = CostGrid::new(64, 512);
    let mut most = 0;
    while let Some(point) = grid.next_point(Duration::MAX, |_| true) {
        most = most.max(point.rows);
        grid.measured(point, millis(real(point.rows * point.length)));
    }
    assert_eq!(most, 4);
    assert!((grid.seconds(64, 512) / 32.768 - 1.0).abs() < 0.01);
}

#[test]
fn an_outlier_is_not_believed_and_a_habit_is() {
    let (mut grid, _) = measured(400.0);
    let before = grid.seconds(3, 40);
    grid.observe(3, 40, millis(truth(3, 40) + 100.0));
    assert!(grid.seconds(3, 40) < before * 1.06);
    for _ in 0..40 {
        grid.observe(3, 40, Duration::from_secs_f64(before * 2.0));
    }
    assert!((grid.seconds(3, 40) / before - 2.0).abs() < 0.1, "{}", grid.seconds(3, 40) / before);
    for _ in 0..60 {
        grid.observe(3, 40, Duration::from_secs_f64(before / 2.0));
    }
    assert!((grid.seconds(3, 40) / before - 0.5).abs() < 0.05, "{}", grid.seconds(3, 40) / before);
}

#[test]
fn an_unmeasured_model_learns_its_scale_from_the_first_run() {
    let mut grid = CostGrid::new(8, 128);
    grid.observe(2, 32, millis(64.0));
    assert!((grid.seconds(2, 32) - 0.064).abs() < 1e-6);
    assert!(grid.seconds(1, 8) < 0.03 && grid.seconds(8, 128) > 0.2);
}

proptest! {
    #[test]
    fn times_never_fall_whatever_was_seen(
        max_rows in 0usize..70,
        max_tokens in 0usize..700,
        seen in prop::collection::vec((0usize..100, 0usize..1000, any::<u64>().prop_map(|bits| bits >> (bits % 64)), any::<bool>()), 0..60),
    ) {
        let mut grid = CostGrid::new(max_rows, max_tokens);
        for (rows, length, nanos, seen) in seen {
            let took = Duration::from_nanos(nanos);
            match grid.next_point(Duration::MAX, |_| true) {
                Some(point) if !seen => grid.measured(point, took),
                _ => grid.observe(rows, length, took),
            }
        }
        let seconds = |rows: usize, length: usize| grid.seconds(rows, length);
        let mut column = Vec::new();
        for length in (0..=max_tokens + 40).step_by(3) {
            grid.column(length, max_rows + 9, &mut column);
            prop_assert_eq!(column.len(), max_rows + 9);
            for (rows, time) in (1..).zip(&column) {
                let least = seconds(rows, length);
                prop_assert!((least - time).abs() <= least * 1e-9, "a column is what is estimated");
                prop_assert!(least > 0.0 && least.is_finite());
                prop_assert!(seconds(rows + 1, length) >= least * (1.0 - 1e-12));
                prop_assert!(seconds(rows, length + 1) >= least * (1.0 - 1e-12));
            }
        }
    }
}

/// The size of run that costs a text least, at most `most`: as compositions choose where there are as many alike.
fn best(grid: &CostGrid, length: usize, most: usize) -> usize {
    let share = |rows: &usize| grid.seconds(*rows, length) / real(*rows);
    (1..=most).min_by(|one, two| share(one).total_cmp(&share(two))).unwrap()
}

/// Chooses and learns for so many runs of texts of this length; gives what they took of the least that they could have.
fn serve(grid: &mut CostGrid, length: usize, runs: u32, truth: impl Fn(usize) -> f64) -> f64 {
    let least = (1..=32).map(|rows| truth(rows) / real(rows)).fold(f64::INFINITY, f64::min);
    let (mut texts, mut took) = (0.0, 0.0);
    for _ in 0..runs {
        let rows = best(grid, length, 32);
        if rows <= 16 {
            grid.pass_over(rows, length);
        }
        grid.observe(rows, length, millis(truth(rows)));
        texts += real(rows);
        took += truth(rows);
    }
    took / (texts * least)
}

#[test]
fn runs_that_were_measured_while_the_machine_stood_still_are_tried_again() {
    // An overhead, and a price each, as short texts have; in each grid other nodes are 40 % too dear.
    let truth = |rows: usize| real(rows).mul_add(2.0, 1.4);
    for spoilt in 0..6 {
        let mut grid = CostGrid::new(32, 8);
        for (node, rows) in [1, 2, 4, 8, 16, 32].into_iter().enumerate() {
            let noise = if node >= spoilt && node > 0 { 1.4 } else { 1.0 };
            grid.measured(Point { rows, length: 8 }, millis(truth(rows) * noise));
        }
        serve(&mut grid, 8, 1000, truth);
        assert_eq!(best(&grid, 8, 32), 32, "from node {spoilt}: {grid:?}");
        assert!(serve(&mut grid, 8, 1000, truth) < 1.01);
    }
}

#[test]
fn trying_what_gains_nothing_costs_next_to_nothing() {
    // Long texts on one thread: caches are small, and company makes each of them dearer.
    let truth = |rows: usize| 20.0 * real(rows) * real(rows).log2().mul_add(0.04, 1.0);
    let mut grid = CostGrid::new(32, 8);
    for rows in [1, 2, 4, 8, 16, 32] {
        grid.measured(Point { rows, length: 8 }, millis(truth(rows)));
    }
    let lost = serve(&mut grid, 8, 5000, truth);
    assert!(lost < 1.005, "{lost}");
}
