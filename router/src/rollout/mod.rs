//! The life of a rollout: (state, event, now) to (state, effects).
//!
//! [`step`] decides; whoever calls it stores the new state by compare-and-swap on its generation and then does what the
//! effects say, in their order. The generation grows by one with every change that has effects. What only counts time
//! and executions within a step has none.
//!
//! Idle -> Progressing <-> Paused -> Promoted -> Idle, and from each of them to Demoted (by the judge) or Aborted (by
//! hand, or from outside); Suspended while stable itself fails. The canary has weight only while progressing, paused or
//! promoted. Times are seconds since a moment of the caller's choice, always the same one.

mod change;
mod commands;
mod course;
mod effect;
mod endings;
mod event;
mod machine;
mod registry;
mod state;

pub use effect::{Alias, Effect};
pub use event::{Command, Event};
pub use machine::{Refused, Rules, step};
pub use state::{Course, PausedBy, Phase, Reason, State, Version};
