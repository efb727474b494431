//! Counts of dispatched executions by weight: evidence that adds up.

use super::MOST_ROWS;

/// Every pair of a batch's counted rows and the largest so far: 32 * 33 / 2.
pub(super) const CLASSES: usize = (MOST_ROWS as usize * (MOST_ROWS as usize + 1)) / 2;

/// What one execution weighs: its rows of the largest so far, both at most 32. Equal classes weigh the same for ever,
/// whichever thread or replica counted them, although the largest grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(u16);

impl Class {
    /// The class of a batch of `rows` rows when batches of up to `largest` were seen before it. Counted rows are
    /// `min(rows, 32)`, at least 1, and the largest includes this batch.
    #[must_use]
    pub fn new(rows: u32, largest: u32) -> Self {
        let rows = rows.clamp(1, MOST_ROWS);
        let largest = largest.clamp(rows, MOST_ROWS);
        // At most 527.
        Self(u16::try_from(largest * (largest - 1) / 2 + rows - 1).unwrap_or(0))
    }

    /// Its place in a table of all 528 classes.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// `w = rows / largest`, above 0 and at most 1.
    #[must_use]
    pub fn weight(self) -> f64 {
        let index = u32::from(self.0);
        let largest = (1..=MOST_ROWS).find(|largest| largest * (largest + 1) / 2 > index).unwrap_or(MOST_ROWS);
        f64::from(index - largest * (largest - 1) / 2 + 1) / f64::from(largest)
    }
}

/// Executions that were dispatched, by class, and how many have ended: one per thread, replica or both, and their sum.
///
/// Kept apart by whether the number of epochs at their dispatch was even or odd: those dispatched before and after the
/// pending epoch opened. All numbers only grow, so shards may be read one after the other.
///
/// [`super::Shard`] is the same for a thread that others read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debits {
    pub(super) dispatched: [Vec<u64>; 2],
    pub(super) ended: [u64; 2],
}

impl Default for Debits {
    fn default() -> Self {
        Self { dispatched: [vec![0; CLASSES], vec![0; CLASSES]], ended: [0; 2] }
    }
}

impl Debits {
    /// An execution of `class` starts, after `epochs` epochs opened.
    pub fn dispatch(&mut self, class: Class, epochs: u64) {
        self.dispatched[side(epochs)][class.index()] += 1;
    }

    /// An execution that started after `epochs` epochs opened has ended.
    pub fn end(&mut self, epochs: u64) {
        self.ended[side(epochs)] += 1;
    }

    /// Adds another shard's counts to these.
    pub fn add(&mut self, other: &Self) {
        for side in 0..2 {
            self.ended[side] += other.ended[side];
            let counts = self.dispatched[side].iter_mut().zip(&other.dispatched[side]);
            counts.for_each(|(count, other)| *count += other);
        }
    }

    /// Executions in flight of those that started after an even (0) or odd (1) number of epochs.
    pub(super) fn in_flight(&self, side: usize) -> u64 {
        self.dispatched[side].iter().sum::<u64>().saturating_sub(self.ended[side])
    }
}

/// Where executions are counted that started after `epochs` epochs.
pub(super) const fn side(epochs: u64) -> usize {
    (epochs % 2) as usize
}

/// Every class, by its index.
pub(super) fn classes() -> impl Iterator<Item = Class> {
    (0..CLASSES).map(|index| Class(u16::try_from(index).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_place_and_weight() {
        let mut index = 0;
        for largest in 1..=MOST_ROWS {
            for rows in 1..=largest {
                let class = Class::new(rows, largest);
                assert_eq!(class.index(), index);
                assert_eq!(class.weight().to_bits(), (f64::from(rows) / f64::from(largest)).to_bits());
                index += 1;
            }
        }
        assert_eq!(index, CLASSES);
        assert_eq!(Class::new(0, 0), Class::new(1, 1));
        assert_eq!(Class::new(64, 8), Class::new(32, 32));
    }
}
