//! Ends runs that pass their deadline: one thread that sleeps until the first of them.
//!
//! Arming is two atomic operations and disarming one, since a small model runs in two microseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::Terminator;

/// How long the thread sleeps where no deadline is nearer. No longer than an inline run may last, so that no reactor has to
/// wake it; and each look takes the processor from a run: 20 µs where that has filled the caches.
const LONGEST: Duration = Duration::from_millis(250);

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
    alarm: Arc<Alarm>,
    slots: Mutex<Vec<Weak<Slot>>>,
}

/// When the thread looks next.
///
/// A run is never missed: it stores its deadline and then reads `next`, the thread stores `next` and then reads the
/// deadlines, all of it sequentially consistent. So either the thread sees the deadline, or the run sees that the look
/// would be too late, and wakes the thread.
struct Alarm {
    began: Instant,
    /// Nanoseconds since `began`; `u64::MAX` while the thread looks.
    next: AtomicU64,
    thread: OnceLock<Thread>,
}

/// One session's place under the watchdog.
pub struct Slot {
    alarm: Arc<Alarm>,
    state: AtomicU64,
    terminator: Arc<dyn Terminator>,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn start() -> std::io::Result<Self> {
        let alarm = Alarm { began: Instant::now(), next: AtomicU64::new(0), thread: OnceLock::new() };
        let inner = Arc::new(Inner { alarm: Arc::new(alarm), slots: Mutex::default() });
        let (alarm, weak) = (Arc::clone(&inner.alarm), Arc::downgrade(&inner));
        let handle = thread::Builder::new().name("perch-watchdog".into()).spawn(move || {
            while let Some(inner) = weak.upgrade() {
                inner.look();
                drop(inner);
                alarm.sleep();
            }
        })?;
        let _ = inner.alarm.thread.set(handle.thread().clone());
        Ok(Self { inner })
    }

    /// Watches the runs that `terminator` ends, for as long as the slot lives.
    #[must_use]
    pub fn watch(&self, terminator: Arc<dyn Terminator>) -> Arc<Slot> {
        let alarm = Arc::clone(&self.inner.alarm);
        let slot = Arc::new(Slot { alarm, state: AtomicU64::new(IDLE), terminator });
        self.inner.slots.lock().push(Arc::downgrade(&slot));
        slot
    }
}

impl Inner {
    /// Ends what is due, and sets the alarm for what is due next.
    fn look(&self) {
        self.alarm.next.store(u64::MAX, Ordering::SeqCst);
        let now = Instant::now();
        let (now, mut next) = (self.alarm.nanos(now), self.alarm.nanos(now + LONGEST));
        self.slots.lock().retain(|slot| match slot.upgrade() {
            Some(slot) => {
                next = next.min(slot.end_if_due(now));
                true
            }
            None => false,
        });
        // A run that began meanwhile may have set it to something earlier.
        self.alarm.next.fetch_min(next, Ordering::SeqCst);
    }
}

impl Alarm {
    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).max(FIRST_DEADLINE)
    }

    /// The thread is to look at `deadline`, if it would not before.
    fn set(&self, deadline: u64) {
        if deadline < self.next.load(Ordering::SeqCst) {
            self.next.fetch_min(deadline, Ordering::SeqCst);
            if let Some(thread) = self.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Until it is time to look.
    fn sleep(&self) {
        loop {
            let left = self.next.load(Ordering::SeqCst).saturating_sub(self.nanos(Instant::now()));
            if left == 0 {
                return;
            }
            thread::park_timeout(Duration::from_nanos(left));
        }
    }
}

impl Slot {
    /// A run begins that may last until `deadline`.
    pub fn arm(&self, deadline: Instant) {
        let deadline = self.alarm.nanos(deadline);
        self.state.store(deadline, Ordering::SeqCst);
        self.alarm.set(deadline);
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

    /// Ends the run when its deadline is not after `now`, and says when the slot is due else.
    fn end_if_due(&self, now: u64) -> u64 {
        let deadline = self.state.load(Ordering::SeqCst);
        if deadline < FIRST_DEADLINE {
            return u64::MAX;
        }
        if deadline > now {
            return deadline;
        }
        if self.state.compare_exchange(deadline, ENDING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.terminator.terminate();
            self.state.store(ENDED, Ordering::Release);
        }
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

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
        thread::sleep(2 * LONGEST);
        assert!(!slot.disarm(), "a run within its deadline is left alone");
    }

    #[test]
    fn a_nearer_deadline_wakes_it() {
        const RUNS: u32 = 100;
        let watchdog = Watchdog::start().expect("a thread");
        let far = watchdog.watch(Arc::new(Flag::default()));
        far.arm(Instant::now() + Duration::from_secs(60));
        let flag = Arc::new(Flag::default());
        let near = watchdog.watch(flag.clone());
        let began = Instant::now();
        for _ in 0..RUNS {
            near.arm(Instant::now() + Duration::from_millis(1));
            while !flag.0.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            assert!(near.disarm());
        }
        assert!(began.elapsed() < RUNS * LONGEST / 2, "each waited for a look that was due anyway");
        assert!(!far.disarm());
    }

    #[test]
    fn no_run_is_missed_that_begins_while_it_looks() {
        struct Count(AtomicUsize);
        impl Terminator for Count {
            fn terminate(&self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
            fn reset(&self) {}
        }
        let watchdog = Watchdog::start().expect("a thread");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let count = Arc::new(Count(AtomicUsize::new(0)));
                    let slot = watchdog.watch(count.clone());
                    for _ in 0..2000 {
                        let ended = count.0.load(Ordering::SeqCst);
                        slot.arm(Instant::now() + Duration::from_micros(fastrand::u64(0..200)));
                        while count.0.load(Ordering::SeqCst) == ended {
                            thread::yield_now();
                        }
                        assert!(slot.disarm());
                    }
                });
            }
        });
    }

    #[test]
    fn slots_of_dropped_sessions_are_forgotten() {
        let watchdog = Watchdog::start().expect("a thread");
        drop(watchdog.watch(Arc::new(Flag::default())));
        watchdog.inner.look();
        assert!(watchdog.inner.slots.lock().is_empty());
    }
}
