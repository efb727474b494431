//! The last minute of what only grows.

use std::collections::VecDeque;

/// Marks are set so far apart, in seconds.
const TURN: f64 = 5.0;
/// Marks to a minute.
const TURNS: u64 = 12;

/// Something of which the difference of two moments is what happened between them.
pub trait Cumulative: Clone + Default {
    /// What was added since it was `before`.
    #[must_use]
    fn since(&self, before: &Self) -> Self;
}

impl<const N: usize> Cumulative for [u64; N]
where
    Self: Default,
{
    fn since(&self, before: &Self) -> Self {
        std::array::from_fn(|place| self[place].saturating_sub(before[place]))
    }
}

/// What was added in the last 55 to 60 seconds.
#[derive(Debug, Clone, Default)]
pub struct Minute<T> {
    /// Which five seconds, and the total as they began.
    marks: VecDeque<(u64, T)>,
    total: T,
}

impl<T: Cumulative> Minute<T> {
    /// The total is this at `now` (seconds, never going back). It began at the default.
    pub fn observe(&mut self, total: T, now: f64) {
        let turn = turn(now);
        if self.marks.back().is_none_or(|(last, _)| *last < turn) {
            self.marks.push_back((turn, self.total.clone()));
        }
        while self.marks.len() > 1 && self.marks.front().is_some_and(|(first, _)| first + TURNS <= turn) {
            self.marks.pop_front();
        }
        self.total = total;
    }

    /// What was added in the minute before the last observation.
    #[must_use]
    pub fn last(&self) -> T {
        self.marks.front().map_or_else(T::default, |(_, before)| self.total.since(before))
    }

    /// How much of a minute that is, in seconds.
    #[must_use]
    pub fn seconds(&self, now: f64) -> f64 {
        let first = self.marks.front().map_or(0, |(first, _)| *first);
        (now - crate::num::float(first) * TURN).clamp(1.0, 60.0)
    }
}

/// Which five seconds `now` is in.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; times are far below")]
fn turn(now: f64) -> u64 {
    (now / TURN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_what_is_older() {
        let mut minute = Minute::<[u64; 1]>::default();
        assert_eq!(minute.last(), [0]);
        for second in 0..600_u32 {
            // One a second, seen at its end.
            minute.observe([u64::from(second) + 1], f64::from(second));
            let expected = u64::from(if second < 60 { second + 1 } else { 56 + second % 5 });
            assert_eq!(minute.last(), [expected], "{second}");
        }
        minute.observe([600], 700.0);
        assert_eq!(minute.last(), [0], "nothing came for more than a minute");
        minute.observe([603], 701.0);
        assert_eq!(minute.last(), [3]);
    }
}
