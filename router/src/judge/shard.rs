//! Debits of many threads: what a request costs.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::slot::{Count, Slot};

use super::{
    Class, Debits, MOST_ROWS, Ticket,
    debits::{CLASSES, side},
};

/// The [`Debits`] of one [`Slot`], read by others while they grow. A dispatch is one count, an end another one.
/// Aligned so that no two threads write to one line of the cache.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    dispatched: [Box<[AtomicU64]>; 2],
    ended: [AtomicU64; 2],
}

/// What the threads that count for one [`super::Chain`] share. It is read by each dispatch and hardly ever written, so
/// its line stays in every core's cache.
#[derive(Debug, Default)]
pub struct Shared {
    largest: AtomicU32,
    epochs: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        let table = || (0..CLASSES).map(|_| AtomicU64::new(0)).collect();
        Self { dispatched: [table(), table()], ended: [AtomicU64::new(0), AtomicU64::new(0)] }
    }
}

impl Shared {
    /// Starts where a chain stands: `epochs` is [`super::Chain::epochs`].
    #[must_use]
    pub const fn new(epochs: u64) -> Self {
        Self { largest: AtomicU32::new(0), epochs: AtomicU64::new(epochs) }
    }

    /// An execution of `rows` rows starts, and is counted on `shard`, which is that of `slot`.
    pub fn dispatch(&self, shard: &Shard, rows: u32, slot: Slot) -> Ticket {
        let counted = rows.clamp(1, MOST_ROWS);
        let mut largest = self.largest.load(Relaxed);
        if largest < counted {
            largest = self.largest.fetch_max(counted, Relaxed).max(counted);
        }
        // The number of epochs first, the count after it: the other order could credit an epoch that was not debited.
        let ticket = Ticket::new(Class::new(counted, largest), self.epochs.load(Acquire));
        if let Some(count) = shard.dispatched[side(ticket.epochs())].get(ticket.class().index()) {
            count.count(1, slot);
        }
        ticket
    }

    /// An epoch may have opened: new tickets carry the number. To be called, after [`super::Chain::bad_so_far`] and
    /// under the same lock, with the chain's [`epochs`](super::Chain::epochs).
    pub fn opened(&self, epochs: u64) {
        self.epochs.store(epochs, Release);
    }
}

impl Shard {
    /// The execution of `ticket` has ended; on any shard, which is that of `slot`.
    pub fn end(&self, ticket: &Ticket, slot: Slot) {
        self.ended[side(ticket.epochs())].count(1, slot);
    }
}

impl Debits {
    /// The sum of all shards. Ends are read before dispatches, so that none in flight is overlooked.
    #[must_use]
    pub fn read(shards: &[Shard]) -> Self {
        let mut sum = Self::default();
        for side in 0..2 {
            sum.ended[side] = shards.iter().map(|shard| shard.ended[side].load(Acquire)).sum();
        }
        for side in 0..2 {
            for shard in shards {
                let counts = sum.dispatched[side].iter_mut().zip(&shard.dispatched[side]);
                counts.for_each(|(sum, count)| *sum += count.load(Relaxed));
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        judge::{Absolute, Chain, Limit},
        num::{float, mix},
    };

    fn limit() -> Limit {
        Limit::new(0.01).unwrap()
    }

    /// Evenly in 0 to 1.
    fn unit(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        float(mix(*seed) >> 11) / float(1 << 53)
    }

    #[test]
    fn threads_lose_nothing() {
        let shared = Shared::default();
        let shards: [Shard; 5] = std::array::from_fn(|_| Shard::default());
        let (chain, failed) = (Mutex::new(Chain::new(limit())), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for (thread, shard) in (0_usize..).zip(&shards[..4]) {
                let (shared, shards, chain, failed) = (&shared, &shards, &chain, &failed);
                scope.spawn(move || {
                    let mut seed = thread as u64;
                    for n in 0..20_000_u32 {
                        let ticket = shared.dispatch(shard, n % 40, Slot::own(thread));
                        if unit(&mut seed) < 0.005 {
                            failed.fetch_add(1, Relaxed);
                            let mut chain = chain.lock().unwrap();
                            chain.bad_so_far(ticket, &mut 0.0, 0.5, f64::from(n) / 1000.0, &Debits::read(shards));
                            shared.opened(chain.epochs());
                        }
                        match n % 4 {
                            0 => shards[4].end(&ticket, Slot::shared(4)),
                            _ => shard.end(&ticket, Slot::own(thread)),
                        }
                    }
                });
            }
        });
        let (mut chain, counts) = (chain.into_inner().unwrap(), Debits::read(&shards));
        assert_eq!(counts.dispatched.iter().flatten().sum::<u64>(), 80_000);
        assert_eq!((counts.in_flight(0), counts.in_flight(1)), (0, 0));
        chain.charge(&counts);
        assert_eq!(chain.bad(), failed.into_inner());
        assert!(chain.epochs() > 0 && chain.log_e() < 0.0);
    }

    #[test]
    fn clean_executions_are_worth_the_same_on_all_threads() {
        let (shared, shards, mut absolute) =
            (Shared::default(), [Shard::default(), Shard::default()], Absolute::new(limit()));
        for n in 0..10_000_u32 {
            let rows = 1 + n % 50;
            let (shard, slot) = (&shards[(n % 2) as usize], Slot::own(0));
            shard.end(&shared.dispatch(shard, rows, slot), slot);
            let execution = absolute.dispatch(rows);
            absolute.end(execution);
        }
        let mut chain = Chain::new(limit());
        chain.charge(&Debits::read(&shards));
        assert!((chain.log_e() - absolute.log_e()).abs() < 1e-9);
    }

    /// Threads that see an old number of epochs, and count long after they have read it: at the limit itself the promise
    /// holds all the same.
    #[test]
    fn stale_threads_do_not_break_the_promise() {
        let mut demoted = 0;
        for run in 0..300_u64 {
            let (mut seed, mut debits, mut chain) = (run << 32, Debits::default(), Chain::new(limit()));
            let (mut read, mut flight) = (Vec::new(), Vec::new());
            let mut found = false;
            for n in 0..2_000_u32 {
                read.push(chain.epochs());
                // Some are counted much later than they have read.
                if unit(&mut seed) < 0.9 {
                    let at = read.len() - 1;
                    let epochs = if unit(&mut seed) < 0.9 { read.remove(at) } else { read.remove(0) };
                    let ticket = Ticket::new(Class::new(1, 1), epochs);
                    debits.dispatch(ticket.class(), epochs);
                    flight.push((ticket, unit(&mut seed) < 0.01));
                }
                // Failures end at once, successes later.
                while let Some(place) = flight.iter().position(|(_, bad)| *bad) {
                    let (ticket, _) = flight.remove(place);
                    chain.bad_so_far(ticket, &mut 0.0, 1.0, f64::from(n) / 20.0, &debits);
                    debits.end(ticket.epochs());
                    found |= chain.log_e() >= 20.0_f64.ln();
                }
                if flight.len() > 50 {
                    debits.end(flight.remove(0).0.epochs());
                }
            }
            demoted += u32::from(found);
        }
        // alpha = 5 %: 15 of 300.
        assert!(demoted <= 15, "{demoted} of 300");
    }
}
