//! What is asked of compositions, on grids shaped like models that were measured.

mod cuts;
mod queue;
mod report;
mod shapes;

use std::time::Duration;

use proptest::prelude::*;

use crate::run::compose::partition::partition;
use crate::run::compose::{Ceiling, Rules};
use crate::run::grid::{CostGrid, Point, real};

/// Some texts of one list that share a run.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    /// Their places in the list, shortest text first.
    texts: Vec<usize>,
    /// The length they are padded to.
    length: usize,
    /// Expected time of the run, in seconds.
    seconds: f64,
}

/// Cuts one list of texts, by their lengths in tokens, into the runs that take the least time in total, short ones
/// first.
fn split(lengths: &[usize], grid: &CostGrid, rules: &Rules) -> Vec<Group> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|text| lengths[*text]);
    let sorted: Vec<usize> = order.iter().map(|text| lengths[*text]).collect();
    let runs = partition(&sorted, grid, rules).into_iter();
    runs.map(|run| Group { texts: order[run.texts].to_vec(), length: run.length, seconds: run.seconds }).collect()
}

/// A grid whose nodes were measured to be what `seconds` says of rows and length.
fn grid(max_rows: usize, seconds: impl Fn(f64, f64) -> f64) -> CostGrid {
    let mut grid = CostGrid::new(max_rows, 512);
    while let Some(point) = grid.next_point(Duration::MAX, |_| true) {
        let Point { rows, length } = point;
        grid.measured(point, Duration::from_secs_f64(seconds(real(rows), real(length))));
    }
    grid
}

/// `MiniLM` in fp32 on one thread: 0.13 ms a token, and a little more from the third text on, for caches are small.
fn fp32() -> CostGrid {
    grid(32, |rows, length| {
        let crowd = (rows / 2.0).log2().max(0.0).mul_add(0.04, 1.0);
        0.4e-3 + rows * length * (0.13e-3 * crowd + 0.15e-6 * length)
    })
}

/// The same in bf16 on matrix units, which want more than a few tokens: groups of eight are best.
fn bf16() -> CostGrid {
    grid(32, |rows, length| {
        let crowd = (rows / 8.0).log2().max(0.0).mul_add(0.08, 1.0) + 0.4 / rows;
        1.4e-3 + rows * length * (0.045e-3 * crowd + 0.02e-6 * length)
    })
}

/// A GPU: an overhead, and not much more until it is full.
fn gpu() -> CostGrid {
    grid(128, |rows, length| 2.0e-3 + 0.8e-6 * (rows * length).max(2048.0) + 0.1e-9 * rows * length * length)
}

fn models() -> [(&'static str, CostGrid, Rules); 3] {
    [("fp32", fp32(), rules(32)), ("bf16", bf16(), rules(32)), ("gpu", gpu(), rules(128))]
}

/// Texts may be padded, without buckets; the oldest always goes first.
fn rules(max_rows: usize) -> Rules {
    let (buckets, max_age) = (Box::default(), Duration::ZERO);
    Rules { max_rows, max_padded: None, may_pad: true, buckets, few_shapes: false, ceilings: Vec::new(), max_age }
}

prop_compose! {
    /// Rules of all kinds.
    fn any_rules()(
        max_rows in 0usize..40,
        max_padded in prop::option::of(0usize..3000),
        may_pad in any::<bool>(),
        mut buckets in prop::collection::vec(1usize..600, 0..5),
        few_shapes in any::<bool>(),
        ceilings in prop::collection::vec((0usize..600, 0usize..20), 0..3),
        age in 0u64..300,
    ) -> Rules {
        buckets.sort_unstable();
        let max_age = Duration::from_millis(age);
        let ceilings = ceilings.into_iter().map(|(above, rows)| Ceiling { above, rows }).collect();
        Rules { max_rows, max_padded, may_pad, buckets: buckets.into(), few_shapes, ceilings, max_age }
    }
}

/// Mostly short, up to 400 tokens.
fn mixed(random: &mut fastrand::Rng) -> usize {
    let scale = [16, 64, 128, 400][random.usize(..4)];
    random.usize(3..=scale)
}

fn total(lengths: &[usize], grid: &CostGrid, rules: &Rules) -> f64 {
    split(lengths, grid, rules).iter().map(|group| group.seconds).sum()
}

/// Whether texts of these lengths may share a run that is padded to `length`.
fn obeys(rules: &Rules, lengths: &[usize], length: usize) -> bool {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let fits = rules.max_padded.is_none_or(|most| lengths.len() * length <= most);
    !lengths.is_empty()
        && lengths.len() <= rules.max_rows.max(1)
        && (fits || lengths.len() == 1)
        && rules.ceilings.iter().all(|c| length <= c.above || lengths.len() <= c.rows.max(1))
        && rules.allows(lengths.len(), rules.rows_at(length))
        && (rules.may_pad || lengths.iter().all(|other| *other == length))
        && length == rules.padded(longest)
        && length >= longest
}
