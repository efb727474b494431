//! What the tests of several rooms share.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::Terminator;

/// Whether a run is to end: for scripted backends that hang.
#[derive(Default)]
pub(crate) struct Ended(AtomicBool);

impl Ended {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Terminator for Ended {
    fn terminate(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
