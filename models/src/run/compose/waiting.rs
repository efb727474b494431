//! Texts that wait for a session, and the work that they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Rules;
use crate::run::grid::{CostGrid, duration};

/// What is known of a text that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// In tokens.
    pub length: usize,
    /// When its request did.
    pub arrived: Instant,
    /// From when on nobody wants its answer.
    pub deadline: Instant,
}

/// Texts that wait, each with an item that says whose it is. Adding and taking one away is a matter of `log n`.
#[derive(Debug)]
pub struct Waiting<T> {
    texts: BTreeMap<Key, Entry<T>>,
    by_arrival: BTreeSet<(Instant, Key)>,
    by_deadline: BTreeSet<(Instant, Key)>,
    /// Numbers texts, so that those of equal length keep their order.
    pushed: u64,
    /// Nanoseconds, the sum of what its entries say: whole numbers, which never drift.
    work: u128,
}

/// A text's length, then its number.
pub(super) type Key = (usize, u64);

#[derive(Debug)]
struct Entry<T> {
    text: Text,
    /// Nanoseconds that it was taken to cost when it came. The grid moves on; this is what is taken away with it.
    work: u128,
    item: T,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        let (by_arrival, by_deadline) = <(BTreeSet<_>, BTreeSet<_>)>::default();
        Self { texts: BTreeMap::new(), by_arrival, by_deadline, pushed: 0, work: 0 }
    }
}

impl<T> Waiting<T> {
    /// Adds a text. Its work is its [share](CostGrid::share) of a good run: a queue that is long enough to be bounded is
    /// long enough for good runs, and on a GPU a text alone costs many times its share.
    pub fn push(&mut self, text: Text, item: T, grid: &CostGrid, rules: &Rules) {
        let work = self.share(text.length, grid, rules);
        self.push_as(text, item, work);
    }

    /// What a text of this length adds.
    #[must_use]
    pub fn share(&self, length: usize, grid: &CostGrid, rules: &Rules) -> Duration {
        let padded = rules.padded(length);
        duration(grid.share(padded, rules.rows_at(padded)))
    }

    /// Adds a text that counts as so much work.
    pub fn push_as(&mut self, text: Text, item: T, work: Duration) {
        let work = work.as_nanos();
        let key = (text.length, self.pushed);
        self.pushed += 1;
        self.work += work;
        self.by_arrival.insert((text.arrived, key));
        self.by_deadline.insert((text.deadline, key));
        self.texts.insert(key, Entry { text, work, item });
    }

    /// Expected time of all that waits, on one session. A queue is bounded by this.
    #[must_use]
    pub fn work(&self) -> Duration {
        let whole = u64::try_from(self.work / 1_000_000_000).unwrap_or(u64::MAX);
        let part = u32::try_from(self.work % 1_000_000_000).unwrap_or(0);
        Duration::new(whole, part)
    }

    /// How many texts wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// All that waits.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.texts.values().map(|entry| &entry.item)
    }

    /// When the text came that has waited longest.
    #[must_use]
    pub fn oldest_arrival(&self) -> Option<Instant> {
        self.oldest().map(|(arrived, _)| arrived)
    }

    /// Takes out all that expired or is not `wanted`, looking at each: for when the bound is reached, lest the living be
    /// refused because of the dead, and at the end, with nothing wanted.
    #[must_use = "they are to be answered"]
    pub fn sweep(&mut self, now: Instant, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut swept = self.expired(now);
        let texts = self.texts.iter();
        let unwanted: Vec<Key> = texts.filter(|(_, entry)| !wanted(&entry.item)).map(|(key, _)| *key).collect();
        swept.extend(unwanted.into_iter().filter_map(|key| self.take(key)));
        swept
    }

    /// Takes out what expired.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some((_, key)) = self.by_deadline.first().copied().filter(|(deadline, _)| *deadline <= now) {
            expired.extend(self.take(key));
        }
        expired
    }

    /// The text that came first.
    pub(super) fn oldest(&self) -> Option<(Instant, Key)> {
        self.by_arrival.first().copied()
    }

    /// Up to `most` texts around `middle`, ascending in length: half of them shorter, unless there are not as many.
    pub(super) fn around(&self, middle: Key, most: usize) -> Vec<Key> {
        let (below, above) = (self.texts.range(..middle), self.texts.range(middle..));
        let fill = |want: usize| above.clone().take(want).count();
        let shorter = below.clone().rev().take(most - fill(most.div_ceil(2))).count();
        let mut keys: Vec<Key> = below.rev().take(shorter).map(|(key, _)| *key).collect();
        keys.reverse();
        keys.extend(above.take(most - shorter).map(|(key, _)| *key));
        keys
    }

    /// The item of a text.
    pub(super) fn item(&self, key: Key) -> Option<&T> {
        self.texts.get(&key).map(|entry| &entry.item)
    }

    /// Takes one out.
    pub(super) fn take(&mut self, key: Key) -> Option<T> {
        let Entry { text, work, item } = self.texts.remove(&key)?;
        self.by_arrival.remove(&(text.arrived, key));
        self.by_deadline.remove(&(text.deadline, key));
        self.work -= work;
        Some(item)
    }
}
