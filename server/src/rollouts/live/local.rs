//! A rollout as one thread holds it.

use std::ops::Deref;
use std::sync::Arc;

use perch_models::run::{Dispatched, Flight, Follow};

use super::Live;
use super::flight::CanaryFlight;

/// A handle for the requests of one thread: each of them keeps it for a while, and threads that did so with one and the
/// same would write to one reference count all the time. Aligned so that no two counts share a line of the cache.
#[repr(align(128))]
pub struct Local(Arc<Live>);

impl Local {
    /// One handle for each of the threads that `live` counts by.
    #[must_use]
    pub fn all(live: &Arc<Live>, threads: usize) -> Vec<Arc<Self>> {
        (0..threads).map(|_| Arc::new(Self(live.clone()))).collect()
    }
}

impl Deref for Local {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.0
    }
}

impl Follow for Local {
    fn dispatched(self: Arc<Self>, what: Dispatched) -> Arc<dyn Flight> {
        CanaryFlight::start(self, what)
    }
}
