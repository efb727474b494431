//! Which counters a thread has for its own.

use std::cell::Cell;

use perch_router::slot::Slot;

thread_local! {
    /// None: larger than any.
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// This thread counts in slot `index` of every rollout from here on. No other thread of the same server may do so.
pub fn own(index: usize) {
    OWN.set(index);
}

/// Where this thread counts among `slots`: the last is of all threads that have none for their own.
pub(super) fn of(slots: usize) -> Slot {
    let last = slots.saturating_sub(1);
    let own = OWN.get();
    if own < last { Slot::own(own) } else { Slot::shared(last) }
}
