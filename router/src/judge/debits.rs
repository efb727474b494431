//! Counts of dispatched executions by weight: evidence that adds up.

use std::num::NonZeroU16;

use super::MOST_ROWS;

/// Every pair of a batch's counted rows and the largest so far: 32 * 33 / 2.
pub(super) const CLASSES: usize = (MOST_ROWS as usize * (MOST_ROWS as usize + 1)) / 2;

/// Classes that are compared at once: few are in use, and most parts of the table have not changed.
const PART: usize = 16;

/// What one execution weighs: its rows of the largest so far, both at most 32. Equal classes weigh the same for ever,
/// whichever thread or replica counted them, although the largest grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(NonZeroU16);

impl Class {
    /// The class of a batch of `rows` rows when batches of up to `largest` were seen before it. Counted rows are
    /// `min(rows, 32)`, at least 1, and the largest includes this batch.
    #[must_use]
    pub fn new(rows: u32, largest: u32) -> Self {
        let rows = rows.clamp(1, MOST_ROWS);
        let largest = largest.clamp(rows, MOST_ROWS);
        // At most 527.
        Self::at((largest * (largest - 1) / 2 + rows - 1) as usize)
    }

    /// The class with this place in the table, below 528.
    pub(super) fn at(index: usize) -> Self {
        // From 1, so that 0 stands for none.
        Self(u16::try_from(index).ok().and_then(|index| NonZeroU16::MIN.checked_add(index)).unwrap_or(NonZeroU16::MIN))
    }

    /// As one number, never 0.
    pub(super) const fn pack(self) -> u16 {
        self.0.get()
    }

    /// What was packed; none for 0.
    pub(super) fn unpack(packed: u16) -> Option<Self> {
        NonZeroU16::new(packed).map(Self)
    }

    /// Its place in a table of all 528 classes.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// `w = rows / largest`, above 0 and at most 1.
    #[must_use]
    pub fn weight(self) -> f64 {
        let (rows, largest) = self.parts();
        f64::from(rows) / f64::from(largest)
    }

    /// Its counted rows.
    pub(crate) fn rows(self) -> u64 {
        self.parts().0.into()
    }

    fn parts(self) -> (u32, u32) {
        let index = u32::from(self.0.get()) - 1;
        let largest = (1..=MOST_ROWS).find(|largest| largest * (largest + 1) / 2 > index).unwrap_or(MOST_ROWS);
        (index - largest * (largest - 1) / 2 + 1, largest)
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
        self.dispatch_many(class, epochs, 1);
    }

    /// An execution that started after `epochs` epochs opened has ended.
    pub fn end(&mut self, epochs: u64) {
        self.end_many(epochs, 1);
    }

    /// `count` executions of `class` start, after `epochs` epochs opened.
    pub fn dispatch_many(&mut self, class: Class, epochs: u64, count: u64) {
        self.dispatched[side(epochs)][class.index()] += count;
    }

    /// `count` executions that started after `epochs` epochs opened have ended.
    pub fn end_many(&mut self, epochs: u64, count: u64) {
        self.ended[side(epochs)] += count;
    }

    /// Adds another shard's counts to these.
    pub fn add(&mut self, other: &Self) {
        for side in 0..2 {
            self.ended[side] += other.ended[side];
            let counts = self.dispatched[side].iter_mut().zip(&other.dispatched[side]);
            counts.for_each(|(count, other)| *count += other);
        }
    }

    /// Grows to `counts`, and says which side (0 or 1) has how many more of which class.
    pub(crate) fn catch_up(&mut self, counts: &Self, mut more: impl FnMut(usize, Class, u64)) {
        for side in 0..2 {
            let tables = counts.dispatched[side].chunks(PART).zip(self.dispatched[side].chunks_mut(PART));
            for (part, (now, known)) in tables.enumerate().filter(|(_, (now, known))| now != known) {
                for (place, (now, known)) in now.iter().zip(known).enumerate().filter(|(_, (now, old))| **now > **old) {
                    more(side, Class::at(part * PART + place), *now - *known);
                    *known = *now;
                }
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.dispatched.iter().flatten().sum()
    }

    /// Their rows, as they are counted: at most 32 of each.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let classes = self.dispatched.iter().flat_map(|side| side.iter().enumerate());
        classes.filter(|(_, count)| **count > 0).map(|(index, count)| *count * Class::at(index).rows()).sum()
    }

    /// Executions in flight of those that started after an even (0) or odd (1) number of epochs.
    pub(crate) fn in_flight(&self, side: usize) -> u64 {
        self.dispatched[side].iter().sum::<u64>().saturating_sub(self.ended[side])
    }
}

/// Where executions are counted that started after `epochs` epochs.
pub(crate) const fn side(epochs: u64) -> usize {
    (epochs % 2) as usize
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
                assert_eq!(class.rows(), u64::from(rows));
                index += 1;
            }
        }
        assert_eq!(index, CLASSES);
        assert_eq!(Class::new(0, 0), Class::new(1, 1));
        assert_eq!(Class::new(64, 8), Class::new(32, 32));
    }
}
