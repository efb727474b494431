//! Runs are independent: each core takes the next one that nobody has.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `one` for 0 to `count - 1`, in this order, whichever thread did it.
pub fn map<T: Send>(count: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, one) = (AtomicU64::new(0), &one);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= count {
                    return mine;
                }
                mine.push((number, one(number)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a run that cannot go on ends")).collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

/// For how many of 0 to `count - 1` it is so.
pub fn count(count: u64, one: impl Fn(u64) -> bool + Sync) -> usize {
    map(count, one).into_iter().filter(|found| *found).count()
}
