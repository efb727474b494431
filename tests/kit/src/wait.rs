//! Waiting for what comes at its own time, on machines that may be slow.

use std::time::{Duration, Instant};

/// Longer than anything here takes on the slowest machine; reached only by what never comes.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it has an answer; one that never comes ends the test with what it said last.
pub fn until_ok<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(last) => assert!(began.elapsed() < LONG, "waited {LONG:?} in vain: {what}: {last}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks `probe` again and again until it has an answer.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    until_ok(what, || probe().ok_or_else(String::new))
}

/// Waits until `condition` holds.
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Lets so much time pass for whatever goes on beside this; a moment in which the machine stood still hardly counts.
pub fn pass(time: Duration) {
    const STEP: Duration = Duration::from_millis(10);
    for _ in 0..time.as_millis().div_ceil(STEP.as_millis()) {
        std::thread::sleep(STEP);
    }
}
