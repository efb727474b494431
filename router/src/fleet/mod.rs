//! One rollout judged by many replicas: what each of them publishes, and the one chain that all compute from it.
//!
//! Two tests are made at once. **Alone**: each replica's own process, as without a fleet, which needs nobody. **Pooled**:
//! the same process over the executions of all. Time is cut into [ticks](TICK) on the store's clock ([`Clock`]); at each
//! of them a replica publishes a [`Report`]: how much all that it has dispatched so far multiplies each bet's wealth,
//! bad and clean together ([`Share`], kept by [`Member`]). [`Reports`] has those of all, [`Reports::cut`] says which tick
//! may be judged, and [`Pool::advance`] moves the chain there: one row for each rollout, by compare-and-swap. Each by a
//! chance of alpha / 2 ([`pooled_threshold`], [`alone_threshold`]).
//!
//! Why by ticks. What is dispatched up to a tick is a beginning of all executions in the order of their dispatch, and an
//! execution whose end is not known counts as clean, that is, as little as it can. So the pool's wealth is never above
//! that of the player who bets on one execution after the other, and Ville's inequality holds for it (see
//! [`crate::judge`]). Own failures of this moment beside others' rows of a second ago are no such beginning: failures
//! would be ahead of successes, and healthy canaries be demoted.
//!
//! What is taken for granted: that a replica falls silent, or is late, does not depend on how well its canary's
//! executions end.
//!
//! Words: a *boot* is one process from its start to its end, or from a [burial](Reports::cut) to it, and what it
//! publishes begins at nothing. No clock, no I/O: what a store holds is serialised, what it does is for others.

mod clock;
mod cut;
mod member;
mod pool;
mod reports;
mod share;
mod thresholds;

pub use clock::{Clock, TICK, Ticks};
pub use cut::{Cut, Row, SILENT};
pub use member::Member;
pub use pool::{Pool, Pooled};
pub use reports::Reports;
pub use share::{Report, Share, Total};
pub use thresholds::{alone_threshold, pooled_threshold};
