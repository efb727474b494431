//! Which of the waiting texts share a run.
//!
//! Texts in a run are padded to its longest, so like length is put together, and how many is a matter of what the model
//! [costs](crate::run::grid): on one CPU thread two, on a GPU hundreds. Pure: there is no clock and there are no threads.
//!
//! **Least time in total** is what a composition is chosen for: a text list sorted by length is cut where the sum of the
//! runs' times is least (`partition`), which is exact and cheap enough to be done anew whenever a session is free.
//! [`Waiting`] is the queue, [`Waiting::next`] takes the next run from it.

mod choose;
mod partition;
mod rules;
#[cfg(test)]
mod tests;
mod waiting;

pub use choose::{Batch, Next};
pub use rules::{Ceiling, Rules};
pub use waiting::{Text, Waiting};
