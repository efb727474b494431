//! A timer for idle connections that costs a request nothing.
//!
//! hyper sets its timer for the next request's head after every answer. With tokio's that is an entry into the timer
//! wheel and out of it again for each request. This one is only a deadline: whoever owns the connection polls it now and
//! then ([`CoarseTimer::interval`]), and so the deadline is seen a quarter late at most.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct CoarseTimer;

impl CoarseTimer {
    /// How often a connection with this timeout has to be polled.
    #[must_use]
    pub fn interval(timeout: Duration) -> Duration {
        (timeout / 4).max(Duration::from_millis(1))
    }
}

impl Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline { at: deadline, fresh: true })
    }
}

struct Deadline {
    at: Instant,
    /// It was only just set: hyper looks at it at once, and the clock need not be asked again.
    fresh: bool,
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        let fresh = std::mem::take(&mut self.fresh);
        if !fresh && Instant::now() >= self.at { Poll::Ready(()) } else { Poll::Pending }
    }
}
