//! Which run is next.
//!
//! All that waits is cut as if nothing more would come, and one run of that cut is taken: what is left is cut best by
//! the rest of the cut, so a list that nothing joins takes the least time in total, whichever run goes first.
//!
//! Which goes first is a matter of waiting. The run of the **oldest** text is best where runs get cheaper with company,
//! as on a GPU: passing over it runs small groups before they have grown. On one CPU thread company gains little, and the
//! run with the **least time per text** first shortens the median wait, at the cost of the longest. `max_age` says for how
//! long that may pass over the oldest; zero is the oldest always.

use std::time::{Duration, Instant};

use super::partition::{Run, partition};
use super::waiting::Key;
use super::{Rules, Waiting};
use crate::run::grid::{CostGrid, duration, real};

/// How many times the largest run is looked at, around the oldest text, and the bounds of that. A cut is right but for
/// its ends, which costs less than 3 % of the time in all; a choice then takes some 30 µs, and 0.2 ms for runs of 128,
/// however many wait.
const WINDOW: (usize, usize, usize) = (4, 64, 512);

/// Texts that are to be run together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// Shortest first; never empty.
    pub items: Vec<T>,
    /// The length to pad them to, in tokens.
    pub length: usize,
    /// How long the run is expected to take.
    pub expected: Duration,
    /// How many texts of that length there were to choose from, these included.
    pub alike: usize,
}

/// What [`Waiting::next`] took out.
#[derive(Debug, PartialEq, Eq)]
pub struct Next<T> {
    /// What to run; none where nothing waits.
    pub batch: Option<Batch<T>>,
    /// All that expired, and what it met that is not wanted any more. They are to be answered.
    pub dropped: Vec<T>,
}

impl<T> Waiting<T> {
    /// Takes out the next run, for a session that is free. It never says to wait for more: a text alone is run alone.
    ///
    /// Once the oldest text has waited for `max_age`, the run holds it. So a text of that age is passed over only by
    /// older ones and those who fill up their runs.
    ///
    /// `wanted` is asked of some hundred texts at most: all that may be chosen.
    pub fn next(
        &mut self,
        now: Instant,
        grid: &CostGrid,
        rules: &Rules,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Next<T> {
        let mut dropped = self.expired(now);
        let (times, least, most) = WINDOW;
        let window = rules.max_rows.saturating_mul(times).clamp(least, most);
        while let Some((arrived, oldest)) = self.oldest() {
            let (keys, unwanted): (Vec<Key>, Vec<Key>) =
                self.around(oldest, window).into_iter().partition(|key| self.item(*key).is_some_and(&mut wanted));
            dropped.extend(unwanted.into_iter().filter_map(|key| self.take(key)));
            // Where the oldest itself was not wanted, another is, with other neighbours.
            let Ok(oldest) = keys.binary_search(&oldest) else { continue };
            let lengths: Vec<usize> = keys.iter().map(|(length, _)| *length).collect();
            let mut runs = partition(&lengths, grid, rules).into_iter();
            let overdue = now.saturating_duration_since(arrived) >= rules.max_age;
            let run = if overdue {
                runs.find(|run| run.texts.contains(&oldest))
            } else {
                runs.min_by(|one, two| per_text(one).total_cmp(&per_text(two)))
            };
            let batch = run.map(|run| Batch {
                items: keys[run.texts].iter().filter_map(|key| self.take(*key)).collect(),
                length: run.length,
                expected: duration(run.seconds),
                alike: lengths.iter().filter(|length| rules.padded(**length) == run.length).count(),
            });
            return Next { batch, dropped };
        }
        Next { batch: None, dropped }
    }
}

/// Seconds for each text of a run. Where it is least first, the mean wait is least.
fn per_text(run: &Run) -> f64 {
    run.seconds / real(run.texts.len())
}
