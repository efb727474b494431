//! How long the outbox waits for what.

use std::time::Duration;

use perch_store::Queue;

#[derive(Debug, Clone)]
pub struct Pace {
    /// Between two looks into the store.
    pub look: Duration,
    /// How long nobody else sends what a process took to send, unless it takes it again.
    pub claim: Duration,
    /// After the first attempt that failed; each later pause is twice as long.
    pub first: Duration,
    /// The longest pause, jitter included.
    pub longest: Duration,
    /// How long a notice is tried, in seconds.
    pub longest_notice: f64,
    /// For one attempt of a notice.
    pub notice: Duration,
    /// For one attempt of a write: its client tries more than once by itself.
    pub write: Duration,
    /// For attempts that were begun, at the end.
    pub farewell: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            claim: Duration::from_secs(5),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            longest_notice: 24.0 * 3600.0,
            notice: Duration::from_secs(10),
            write: Duration::from_secs(60),
            farewell: Duration::from_secs(3),
        }
    }
}

impl Pace {
    /// For one attempt.
    pub const fn patience(&self, queue: Queue) -> Duration {
        match queue {
            Queue::Registry => self.write,
            Queue::Notify => self.notice,
        }
    }

    /// Until the next attempt, after `attempts` before this one. Half as long again at most, so that messages that
    /// failed together do not come back together; not shorter than the receiver asks for, within the longest.
    pub fn pause(&self, attempts: u32, after: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempts)).min(self.longest * 2 / 3);
        let jittered = doubled.mul_f64(1.0 + 0.5 * fastrand::f64());
        jittered.max(after.unwrap_or_default()).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_one_second_to_five_minutes() {
        let pace = Pace::default();
        for (attempts, least, most) in
            [(0, 1.0, 1.5), (1, 2.0, 3.0), (5, 32.0, 48.0), (8, 200.0, 300.0), (1000, 200.0, 300.0)]
        {
            for _ in 0..100 {
                let pause = pace.pause(attempts, None).as_secs_f64();
                assert!((least..=most).contains(&pause), "{attempts}: {pause}");
            }
        }
        assert_eq!(pace.pause(0, Some(Duration::from_secs(40))), Duration::from_secs(40));
        assert_eq!(pace.pause(0, Some(Duration::from_secs(3600))), Duration::from_secs(300));
        assert!(pace.pause(5, Some(Duration::from_secs(1))) >= Duration::from_secs(32));
    }
}
