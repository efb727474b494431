//! The simulation's short form says what it said. Anew: `cargo run -p perch-router --example simulate -- --short` and
//! `-- --presets`, `-- --fleet --short`.

#![expect(clippy::expect_used, reason = "a simulation that cannot go on ends")]

#[path = "../examples/simulate/acceptance.rs"]
mod acceptance;
#[path = "../examples/simulate/crowd.rs"]
mod crowd;
#[path = "judge/dice.rs"]
mod dice;
#[path = "../examples/simulate/fleet.rs"]
mod fleet;
#[path = "../examples/simulate/fleets.rs"]
mod fleets;
#[path = "../examples/simulate/parallel.rs"]
mod parallel;
#[path = "../examples/simulate/policies.rs"]
mod policies;
#[path = "../examples/simulate/tables.rs"]
mod tables;
#[path = "../examples/simulate/traffic.rs"]
mod traffic;

#[test]
fn the_short_form_is_as_recorded() {
    let text: String = tables::ALL.iter().map(|table| table(&tables::SHORT).text + "\n").collect();
    assert_eq!(text, include_str!("simulation.txt"));
}

/// The rest is too little to be held to what was promised.
#[test]
fn what_the_short_form_can_show_is_as_promised() {
    for table in [acceptance::healthy, tables::gates] {
        assert_eq!(table(&tables::SHORT).misses, Vec::<String>::new());
    }
}

#[test]
fn presets_are_as_recorded() {
    assert_eq!(policies::presets(), include_str!("presets.txt"));
}

#[test]
fn fleets_are_as_recorded() {
    assert_eq!(fleets::tables(&fleets::SHORT), include_str!("fleets.txt"));
}
