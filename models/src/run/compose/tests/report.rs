//! Tables for people: `cargo test -p perch-models --release --lib compose::tests::report -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use super::queue::emptied;
use super::*;
use crate::run::compose::{Text, Waiting};

/// Seconds when neighbours of the sorted list are put into groups of `size`.
fn grouped(lengths: &[usize], size: usize, grid: &CostGrid) -> f64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    sorted.chunks(size).map(|group| grid.seconds(group.len(), *group.last().unwrap())).sum()
}

#[test]
#[ignore = "prints a table"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn of_total_times() {
    println!("32 texts, ms     one batch   twos  eights   queue    best");
    for (name, grid, rules) in models() {
        let lengths: Vec<usize> = (0..32).map(|text| 7 + text * 230 / 31).collect();
        let times = [
            grouped(&lengths, 32, &grid),
            grouped(&lengths, 2, &grid),
            grouped(&lengths, 8, &grid),
            emptied(&lengths, &grid, &rules),
            total(&lengths, &grid, &rules),
        ];
        println!("{name:16} {}", times.map(|seconds| format!("{:8.1}", seconds * 1e3)).concat());
    }
}

#[test]
#[ignore = "prints a table"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn of_choosing() {
    println!("waiting           push ns   next µs (mean, most)");
    for (name, grid, rules) in models() {
        for count in [1usize, 10, 1_000, 10_000] {
            let mut random = fastrand::Rng::with_seed(3);
            let (mut queue, now) = (Waiting::default(), Instant::now());
            let mut push = |queue: &mut Waiting<u64>| {
                let deadline = now + Duration::from_secs(1000 + random.u64(..1000));
                let arrived = now + Duration::from_nanos(random.u64(..1_000_000));
                queue.push(Text { length: mixed(&mut random), arrived, deadline }, 0, &grid, &rules);
            };
            let began = Instant::now();
            (0..count).for_each(|_| push(&mut queue));
            let pushing = began.elapsed() / u32::try_from(count).unwrap();
            let times: Vec<Duration> = (0..200)
                .map(|_| {
                    let began = Instant::now();
                    let next = black_box(queue.next(now, &grid, &rules, |_| true));
                    let took = began.elapsed();
                    next.batch.iter().flat_map(|batch| &batch.items).for_each(|_| push(&mut queue));
                    took
                })
                .collect();
            let mean = times.iter().sum::<Duration>() / 200;
            println!("{name:6} {count:6} {:12} {mean:10.1?} {:10.1?}", pushing.as_nanos(), times.iter().max().unwrap());
        }
    }
}
