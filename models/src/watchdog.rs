//! Ends runs that pass their deadline: one thread looks at every session each 25 ms.
//!
//! Arming and disarming are one atomic operation each, since a small model runs in two microseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::Terminator;

/// How late a run may be ended. Each look takes the processor from a run: 20 µs where that has filled the caches.
pub const TICK: Duration = Duration::from_millis(25);

const IDLE: u64 = 0;
const ENDING: u64 = 1;
const ENDED: u64 = 2;
/// Deadlines are nanoseconds since the watchdog began, and never one of the states above.
const FIRST_DEADLINE: u64 = 3;

/// The watching thread. It stops when the last handle is dropped.
#[derive(Clone)]
pub struct Watchdog {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    slots: Mutex<Vec<Weak<Slot>>>,
}

/// One session's place under the watchdog.
pub struct Slot {
    began: Instant,
    state: AtomicU64,
    terminator: Arc<dyn Terminator>,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn start() -> std::io::Result<Self> {
        let inner = Arc::new(Inner { began: Instant::now(), slots: Mutex::default() });
        let weak = Arc::downgrade(&inner);
        thread::Builder::new().name("perch-watchdog".into()).spawn(move || {
            while let Some(inner) = weak.upgrade() {
                inner.look(Instant::now());
                drop(inner);
                thread::sleep(TICK);
            }
        })?;
        Ok(Self { inner })
    }

    /// Watches the runs that `terminator` ends, for as long as the slot lives.
    #[must_use]
    pub fn watch(&self, terminator: Arc<dyn Terminator>) -> Arc<Slot> {
        let slot = Arc::new(Slot { began: self.inner.began, state: AtomicU64::new(IDLE), terminator });
        self.inner.slots.lock().push(Arc::downgrade(&slot));
        slot
    }
}

impl Inner {
    fn look(&self, now: Instant) {
        let mut slots = self.slots.lock();
        slots.retain(|slot| match slot.upgrade() {
            Some(slot) => {
                slot.end_if_due(now);
                true
            }
            None => false,
        });
    }
}

impl Slot {
    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).max(FIRST_DEADLINE)
    }

    /// A run begins that may last until `deadline`.
    pub fn arm(&self, deadline: Instant) {
        self.state.store(self.nanos(deadline), Ordering::Release);
    }

    /// The run is over. True when the watchdog ended it; its terminator is reset by then.
    #[must_use]
    pub fn disarm(&self) -> bool {
        loop {
            match self.state.load(Ordering::Acquire) {
                IDLE => return false,
                // The watchdog is inside terminate(): wait, or it would end the next run.
                ENDING => thread::yield_now(),
                ENDED => {
                    self.terminator.reset();
                    self.state.store(IDLE, Ordering::Release);
                    return true;
                }
                deadline => {
                    if self.state.compare_exchange(deadline, IDLE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                        return false;
                    }
                }
            }
        }
    }

    fn end_if_due(&self, now: Instant) {
        let deadline = self.state.load(Ordering::Acquire);
        let due = deadline >= FIRST_DEADLINE && deadline <= self.nanos(now);
        if due && self.state.compare_exchange(deadline, ENDING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.terminator.terminate();
            self.state.store(ENDED, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Terminator for Flag {
        fn terminate(&self) {
            self.0.store(true, Ordering::SeqCst);
        }
        fn reset(&self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_run_past_its_deadline_is_ended_and_the_next_is_not() {
        let watchdog = Watchdog::start().expect("a thread");
        let flag = Arc::new(Flag::default());
        let slot = watchdog.watch(flag.clone());
        slot.arm(Instant::now() + Duration::from_millis(20));
        while !flag.0.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert!(slot.disarm(), "the watchdog ended it");
        assert!(!flag.0.load(Ordering::SeqCst), "reset for the next run");
        slot.arm(Instant::now() + Duration::from_secs(60));
        thread::sleep(3 * TICK);
        assert!(!slot.disarm(), "a run within its deadline is left alone");
    }

    #[test]
    fn slots_of_dropped_sessions_are_forgotten() {
        let watchdog = Watchdog::start().expect("a thread");
        drop(watchdog.watch(Arc::new(Flag::default())));
        watchdog.inner.look(Instant::now());
        assert!(watchdog.inner.slots.lock().is_empty());
    }
}
