//! What the judges do with traffic of which the truth is known: `cargo run --release -p perch-router --example simulate`.
//! The same numbers on every run. With `--check` it fails, and names the cell, where they are not as was promised
//! (`make simulate`). `--short` has fewer runs, which say little, and `--presets` only what the presets do; tests compare
//! both. `--fleet` has what fleets do instead, and `--fleet --short` a part of it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what it is for")]

use std::process::ExitCode;

mod acceptance;
mod crowd;
#[path = "../../tests/judge/dice.rs"]
mod dice;
mod fleet;
mod fleets;
mod parallel;
mod policies;
mod tables;
mod traffic;

const LONG: tables::Scale = tables::Scale {
    medians: 1001,
    runs: 1000,
    crowded: 200,
    healthy: 2000,
    half_hour: 18_000,
    hour: 36_000,
    crowd: 180_000,
};

const FLEETS: fleets::Scale =
    fleets::Scale { sizes: &[1, 3, 10, 30, 100, 300], medians: 51, healthy: 300, longest: 300 };

fn main() -> ExitCode {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let (short, check) = (asked("--short"), asked("--check"));
    if asked("--presets") {
        print!("{}", policies::presets());
        return ExitCode::SUCCESS;
    }
    if asked("--fleet") {
        print!("{}", fleets::tables(if short { &fleets::SHORT } else { &FLEETS }));
        return ExitCode::SUCCESS;
    }
    let mut misses = Vec::new();
    for table in tables::ALL {
        let table = table(if short { &tables::SHORT } else { &LONG });
        println!("{}", table.text);
        misses.extend(table.misses);
    }
    if !short {
        print!("{}", policies::presets());
    }
    if !check {
        return ExitCode::SUCCESS;
    }
    misses.iter().for_each(|miss| eprintln!("not as promised: {miss}"));
    if misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
