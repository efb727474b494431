//! Pure decisions of a rollout: no clock, no I/O, no async. `now` is an argument wherever it matters.

pub mod evidence;
pub mod fleet;
pub mod judge;
pub mod minute;
mod num;
pub mod policy;
pub mod rollout;
pub mod simulate;
pub mod sketch;
pub mod slot;
pub mod split;
pub mod track;
pub mod weight;
