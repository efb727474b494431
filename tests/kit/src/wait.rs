//! Waiting for what comes at its own time, on machines that may be slow.

use std::time::{Duration, Instant};

/// Longer than anything here takes on the slowest machine; reached only by what never comes.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it has an answer, and ends the test when it never does.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(began.elapsed() < LONG, "waited {LONG:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `condition` holds.
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
