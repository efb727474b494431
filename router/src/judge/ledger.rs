//! Executions by the interval of their dispatch, counted by many threads: what gates are fed from, in that order.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::MOST_ROWS;
use crate::slot::{Count, Slot};

/// Intervals that may be in flight at once.
const RING: usize = 64;
/// Clean executions of 1 to 32 rows; those with more count as 32.
const SIZES: usize = MOST_ROWS as usize;

/// Counts of one interval on one slot.
#[derive(Debug)]
struct Cell {
    dispatched: AtomicU32,
    /// Those that did not end clean.
    odd: AtomicU32,
    clean: [AtomicU32; SIZES],
}

impl Default for Cell {
    fn default() -> Self {
        let zero = || AtomicU32::new(0);
        Self { dispatched: zero(), odd: zero(), clean: std::array::from_fn(|_| zero()) }
    }
}

/// Counts of executions by the interval in which they were dispatched. An interval is read when everything that was
/// dispatched in it, and before it, has ended: a gate that heard of successes before it heard of slower failures of the
/// same time would pass a bad canary. Threads only increment; one reader turns the intervals over and takes them.
#[derive(Debug)]
pub struct Ledger {
    interval: AtomicU64,
    shards: Box<[Box<[Cell]>]>,
}

/// Clean executions of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Which interval.
    pub interval: u64,
    clean: [u32; SIZES],
}

/// The one who reads a [`Ledger`].
#[derive(Debug)]
pub struct Reader {
    next: u64,
    /// What each cell of the ring held when it was read last: cells are never cleared, so that a thread that was held up
    /// between two steps spoils nothing.
    before: Vec<Seen>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    dispatched: u32,
    odd: u32,
    clean: [u32; SIZES],
}

impl Default for Reader {
    fn default() -> Self {
        Self { next: 0, before: vec![Seen::default(); RING] }
    }
}

impl Ledger {
    /// For so many slots.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let shard = |_| (0..RING).map(|_| Cell::default()).collect();
        Self { interval: AtomicU64::new(0), shards: (0..shards.max(1)).map(shard).collect() }
    }

    /// An execution starts: the interval that it belongs to.
    pub fn dispatch(&self, slot: Slot) -> u64 {
        let interval = self.interval.load(Acquire);
        if let Some(cell) = self.cell(slot, interval) {
            cell.dispatched.count(1, slot);
        }
        interval
    }

    /// The execution of that interval has ended, on the slot of its dispatch or another. `clean`: its rows, where all
    /// went well; what did not is to be noted elsewhere, before this is called.
    pub fn end(&self, slot: Slot, interval: u64, clean: Option<u32>) {
        let Some(cell) = self.cell(slot, interval) else { return };
        let clean = clean.and_then(|rows| cell.clean.get(rows.clamp(1, MOST_ROWS) as usize - 1));
        clean.unwrap_or(&cell.odd).count(1, slot);
    }

    /// Executions so far.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.shards.iter().flatten().map(|cell| u64::from(cell.dispatched.load(Relaxed))).sum()
    }

    fn cell(&self, slot: Slot, interval: u64) -> Option<&Cell> {
        self.shards.get(slot.index())?.get(place(interval))
    }

    /// Ends the interval, unless one that is in flight still has the place of the next: what starts from here on belongs
    /// to the interval that it gives.
    pub fn turn(&self, reader: &Reader) -> u64 {
        let interval = self.interval.load(Relaxed);
        if interval + 1 - reader.next < RING as u64 {
            self.interval.store(interval + 1, Release);
        }
        self.interval.load(Relaxed)
    }

    /// The next interval, once everything in it has ended.
    pub fn take(&self, reader: &mut Reader) -> Option<Page> {
        if reader.next >= self.interval.load(Acquire) {
            return None;
        }
        let cells = || self.shards.iter().filter_map(|shard| shard.get(place(reader.next)));
        let mut seen = Seen::default();
        // Ends before dispatches, so that none in flight is overlooked.
        for cell in cells() {
            seen.odd = seen.odd.wrapping_add(cell.odd.load(Acquire));
            for (sum, count) in seen.clean.iter_mut().zip(&cell.clean) {
                *sum = sum.wrapping_add(count.load(Acquire));
            }
        }
        cells().for_each(|cell| seen.dispatched = seen.dispatched.wrapping_add(cell.dispatched.load(Acquire)));
        let before = reader.before.get_mut(place(reader.next))?;
        let clean: [u32; SIZES] = std::array::from_fn(|size| seen.clean[size].wrapping_sub(before.clean[size]));
        let odd = seen.odd.wrapping_sub(before.odd);
        let ended = clean.iter().fold(odd, |sum, count| sum.wrapping_add(*count));
        if seen.dispatched.wrapping_sub(before.dispatched) != ended {
            return None;
        }
        let page = Page { interval: reader.next, clean };
        *before = seen;
        reader.next += 1;
        Some(page)
    }
}

impl Page {
    /// Clean executions by their counted rows: rows, and how many executions had so many.
    pub fn clean(&self) -> impl Iterator<Item = (u32, u64)> {
        (1..).zip(self.clean).filter(|(_, count)| *count > 0).map(|(rows, count)| (rows, u64::from(count)))
    }
}

/// Where an interval has its place.
#[expect(clippy::cast_possible_truncation, reason = "below 64")]
const fn place(interval: u64) -> usize {
    (interval % RING as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_when_it_and_all_before_it_have_ended() {
        let (ledger, mut reader) = (Ledger::new(2), Reader::default());
        let [first, second] = [0, 1].map(Slot::own);
        let (one, two) = (ledger.dispatch(first), ledger.dispatch(second));
        assert_eq!(ledger.take(&mut reader), None, "it is not over");
        assert_eq!(ledger.turn(&reader), 1);
        let three = ledger.dispatch(first);
        ledger.turn(&reader);
        ledger.end(first, one, Some(8));
        ledger.end(first, three, Some(100));
        assert_eq!(ledger.take(&mut reader), None, "one of the first interval is in flight");
        ledger.end(second, two, None);
        let page = ledger.take(&mut reader).unwrap();
        assert_eq!((page.interval, page.clean().collect::<Vec<_>>()), (0, vec![(8, 1)]));
        let page = ledger.take(&mut reader).unwrap();
        assert_eq!((page.interval, page.clean().collect::<Vec<_>>()), (1, vec![(32, 1)]));
        assert_eq!(ledger.take(&mut reader), None);
    }

    #[test]
    fn one_that_hangs_holds_the_ring_and_loses_nothing() {
        let (ledger, mut reader, slot) = (Ledger::new(1), Reader::default(), Slot::own(0));
        let hangs = ledger.dispatch(slot);
        for _ in 0..1000 {
            let interval = ledger.dispatch(slot);
            ledger.end(slot, interval, Some(1));
            ledger.turn(&reader);
            assert_eq!(ledger.take(&mut reader), None);
        }
        ledger.end(slot, hangs, None);
        let counts = std::iter::from_fn(|| ledger.take(&mut reader)).flat_map(|page| page.clean().collect::<Vec<_>>());
        assert_eq!(counts.map(|(_, count)| count).sum::<u64>(), 1000 - 937, "the last interval is not over yet");
        ledger.turn(&reader);
        let last = ledger.take(&mut reader).unwrap();
        assert_eq!(last.clean().collect::<Vec<_>>(), [(1, 937)]);
    }

    #[test]
    fn threads_lose_nothing() {
        let (ledger, mut reader, mut total) = (Ledger::new(4), Reader::default(), 0);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|shard| {
                    let ledger = &ledger;
                    scope.spawn(move || {
                        for rows in 0..50_000 {
                            let interval = ledger.dispatch(Slot::own(shard));
                            let slot = if rows % 3 == 0 { Slot::shared(3) } else { Slot::own(shard) };
                            ledger.end(slot, interval, Some(rows));
                        }
                    })
                })
                .collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                ledger.turn(&reader);
                total += pages(&ledger, &mut reader);
            }
        });
        // What was counted late for an interval that had been read is read with the next one in its place.
        for _ in 0..2 * RING {
            ledger.turn(&reader);
            total += pages(&ledger, &mut reader);
        }
        assert_eq!(total, 150_000);
    }

    fn pages(ledger: &Ledger, reader: &mut Reader) -> u64 {
        std::iter::from_fn(|| ledger.take(reader))
            .flat_map(|page| page.clean().collect::<Vec<_>>())
            .map(|(_, n)| n)
            .sum()
    }
}
