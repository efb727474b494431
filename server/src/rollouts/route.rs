//! Where a model's requests find its rollout.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::live::{Live, Local};

/// The rollout of one model at present, if anything is tried. It outlives snapshots: the weight changes without one.
#[derive(Default)]
pub struct Route {
    /// A handle for each thread.
    live: ArcSwapOption<Vec<Arc<Local>>>,
}

impl Route {
    /// The rollout, for a request on the thread `reactor`; without a lock.
    #[must_use]
    pub fn load(&self, reactor: usize) -> Option<Arc<Local>> {
        self.live.load().as_ref().and_then(|all| all.get(reactor).cloned())
    }

    /// Another one, for so many threads, or none.
    pub fn set(&self, live: Option<&Arc<Live>>, threads: usize) {
        self.live.store(live.map(|live| Arc::new(Local::all(live, threads))));
    }
}
