//! What the judges do with traffic of which the truth is known: `cargo run --release -p perch-router --example simulate`.
//! The same numbers on every run. `--short` for fewer runs, which say little; a test compares them.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

#[path = "../../tests/judge/dice.rs"]
mod dice;
mod tables;
mod traffic;

const LONG: tables::Scale =
    tables::Scale { medians: 1001, runs: 1000, crowded: 200, half_hour: 18_000, hour: 36_000, crowd: 180_000 };

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    for table in tables::ALL {
        println!("{}", table(if short { &tables::SHORT } else { &LONG }));
    }
}
