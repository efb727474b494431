//! The simulation's short form says what it said. Anew: `cargo run -p perch-router --example simulate -- --short`.

#![expect(clippy::expect_used, reason = "a simulation that cannot go on ends")]

#[path = "judge/dice.rs"]
mod dice;
#[path = "../examples/simulate/tables.rs"]
mod tables;
#[path = "../examples/simulate/traffic.rs"]
mod traffic;

#[test]
fn the_short_form_is_as_recorded() {
    let text: String = tables::ALL.iter().map(|table| table(&tables::SHORT) + "\n").collect();
    assert_eq!(text, include_str!("simulation.txt"));
}
