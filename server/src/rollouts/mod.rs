//! Rollouts: from a canary in the registry to a new stable, or out.
//!
//! [`live`] is what requests touch. One task, the [`Driver`], owns the state of every model's rollout: it hears what the
//! reconciler has seen, what the judges have decided, the clock, and what operators say; it asks
//! [`perch_router::rollout::step`] what comes of that, stores it, and then lets it be so. What is to leave perch because
//! of it is stored with it, and sent by the [`outbox`].

pub mod audit_log;
mod clock;
mod driver;
mod effects;
mod fleet;
mod handle;
pub mod live;
pub mod messages;
mod model;
pub mod moment;
pub mod notify;
pub mod outbox;
mod patience;
pub mod registry_writes;
mod route;
mod smoke;
mod view;
mod vitals;
mod wish;

pub use clock::{Clock, StateClock};
pub use driver::{Driver, Parts};
pub use handle::{CommandError, Rollouts, Seen, SeenCanary};
pub use route::Route;
pub use wish::{Hold, Wish};
