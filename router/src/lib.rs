//! Pure decisions of a rollout: no clock, no I/O, no async. `now` is an argument wherever it matters.

mod num;
pub mod split;
pub mod track;
pub mod weight;
