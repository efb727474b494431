//! Many executions in flight, judged as the server judges them: tickets, debits that are counted, and one chain.
//!
//! Clean executions are counted in bulk, up to the next one that fails: nothing looks at the sums in between.

use std::{borrow::Cow, collections::VecDeque};

use perch_router::{
    judge::{Chain, Class, Debits, Limit, Shard, Shared, Ticket},
    slot::Slot,
};

use crate::{
    dice::Dice,
    traffic::{Fate, Size, Traffic},
};

/// Executions that start in a second.
pub const RATE: f64 = 600.0;

/// How long executions take, in executions that start meanwhile.
#[derive(Clone, Copy)]
pub struct Delays {
    pub success: u64,
    pub failure: u64,
}

/// What counts executions.
pub trait Counter {
    /// `count` executions of `rows` rows start. The ticket is that of the last one.
    fn start(&mut self, rows: u32, count: u64) -> Ticket;
    /// `count` executions that started after `epochs` epochs end.
    fn end(&mut self, epochs: u64, count: u64);
    /// All counts.
    fn read(&self) -> Cow<'_, Debits>;
    /// So many epochs have opened.
    fn opened(&mut self, epochs: u64);
}

/// Counts of one thread, many executions at once.
#[derive(Default)]
pub struct Bulk {
    debits: Debits,
    largest: u32,
    epochs: u64,
}

impl Counter for Bulk {
    fn start(&mut self, rows: u32, count: u64) -> Ticket {
        self.largest = self.largest.max(rows);
        let class = Class::new(rows, self.largest);
        self.debits.dispatch_many(class, self.epochs, count);
        Ticket::new(class, self.epochs)
    }

    fn end(&mut self, epochs: u64, count: u64) {
        self.debits.end_many(epochs, count);
    }

    fn read(&self) -> Cow<'_, Debits> {
        Cow::Borrowed(&self.debits)
    }

    fn opened(&mut self, epochs: u64) {
        self.epochs = epochs;
    }
}

/// What the server's threads have: atomic counts, three of them, by one execution after the other.
#[derive(Default)]
pub struct Threads {
    shared: Shared,
    shards: [Shard; 3],
    next: usize,
}

impl Threads {
    fn shard(&mut self) -> usize {
        self.next = (self.next + 1) % self.shards.len();
        self.next
    }
}

impl Counter for Threads {
    fn start(&mut self, rows: u32, count: u64) -> Ticket {
        for _ in 1..count {
            let shard = self.shard();
            self.shared.dispatch(&self.shards[shard], rows, Slot::own(shard));
        }
        let shard = self.shard();
        self.shared.dispatch(&self.shards[shard], rows, Slot::own(shard))
    }

    fn end(&mut self, epochs: u64, count: u64) {
        // Of a ticket that ends only its epochs matter.
        let ticket = Ticket::new(Class::new(1, 1), epochs);
        for _ in 0..count {
            let shard = self.shard();
            self.shards[shard].end(&ticket, Slot::own(shard));
        }
    }

    fn read(&self) -> Cow<'_, Debits> {
        Cow::Owned(Debits::read(&self.shards))
    }

    fn opened(&mut self, epochs: u64) {
        self.shared.opened(epochs);
    }
}

/// The same traffic, as the chance that an execution has bad rows and what it is like then.
pub struct Odds {
    /// That an execution has bad rows.
    any: f64,
    /// Rows and bad rows of those that have, by cumulated chance.
    bad: Vec<(f64, u32, u32)>,
    /// Rows of those that have none, by cumulated chance.
    clean: Vec<(f64, u32)>,
}

impl Odds {
    pub fn new(traffic: Traffic) -> Self {
        let sizes: &[u32] = match traffic.size {
            Size::Rows(1) => &[1],
            Size::Rows(8) => &[8],
            Size::Rows(32) => &[32],
            _ => &[1, 8, 32],
        };
        let (each, rate) = (1.0 / f64::from(u32::try_from(sizes.len()).expect("three")), traffic.rate);
        let (mut bad, mut clean, mut any) = (Vec::new(), Vec::new(), 0.0);
        for &rows in sizes {
            let (parts, size) = match traffic.fate {
                Fate::Alone => (rows, 1),
                Fate::Halves if rows > 1 => (2, rows / 2),
                Fate::Halves | Fate::Together => (1, rows),
            };
            // The chance that so many parts fail, from the one before.
            let mut chance = (1.0 - rate).powi(i32::try_from(parts).expect("at most 32"));
            clean.push((each * chance, rows));
            for failed in 1..=parts {
                chance *= f64::from(parts - failed + 1) / f64::from(failed) * rate / (1.0 - rate);
                any += each * chance;
                bad.push((any, rows, failed * size));
            }
        }
        bad.iter_mut().for_each(|(chance, ..)| *chance /= any);
        let mut sum = 0.0;
        for (chance, _) in &mut clean {
            sum += *chance / (1.0 - any);
            *chance = sum;
        }
        Self { any, bad, clean }
    }

    /// Clean executions before the next one that is not.
    fn gap(&self, dice: &mut Dice) -> u64 {
        let gap = (1.0 - dice.unit()).ln() / (1.0 - self.any).ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most ln 2^-32 / ln(1 - any)")]
        {
            gap as u64
        }
    }

    /// Rows and bad rows of an execution that has some.
    fn bad(&self, dice: &mut Dice) -> (u32, u32) {
        let at = dice.unit();
        let found = self.bad.iter().find(|(chance, ..)| at < *chance).or(self.bad.last());
        found.map_or((1, 1), |(_, rows, bad)| (*rows, *bad))
    }

    /// Rows of an execution that has none.
    fn clean(&self, dice: &mut Dice) -> u32 {
        let at = dice.unit();
        self.clean.iter().find(|(chance, _)| at < *chance).or(self.clean.last()).map_or(1, |(_, rows)| *rows)
    }
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub struct Ending {
    pub demoted: bool,
    pub log_e: f64,
    pub bad: u64,
}

/// One rollout of `executions` executions. Time is counted in executions that have started.
pub struct Crowd<'a, C> {
    odds: &'a Odds,
    delays: Delays,
    dice: Dice,
    counter: C,
    chain: Chain,
    started: u64,
    /// Clean executions in flight: when the first of them started, how many, and after how many epochs.
    clean: VecDeque<(u64, u64, u64)>,
    /// Others: when they end, their ticket and bad fraction.
    bad: VecDeque<(u64, Ticket, f64)>,
}

impl<'a, C: Counter> Crowd<'a, C> {
    pub fn new(odds: &'a Odds, limit: Limit, delays: Delays, counter: C, dice: Dice) -> Self {
        let (clean, bad) = (VecDeque::new(), VecDeque::new());
        Self { odds, delays, dice, counter, chain: Chain::new(limit), started: 0, clean, bad }
    }

    pub fn run(mut self, executions: u64, enough: f64) -> Ending {
        let mut next = self.odds.gap(&mut self.dice);
        let mut demoted = false;
        while !demoted {
            let lands = self.bad.front().map_or(u64::MAX, |(lands, ..)| *lands);
            if lands.min(next) >= executions {
                break;
            }
            if lands <= next {
                self.start_clean(lands);
                demoted = self.land(lands, enough);
            } else {
                self.start_clean(next);
                let (rows, bad) = self.odds.bad(&mut self.dice);
                let ticket = self.counter.start(rows, 1);
                self.started = next + 1;
                self.bad.push_back((next + self.delays.failure, ticket, f64::from(bad) / f64::from(rows)));
                next += 1 + self.odds.gap(&mut self.dice);
            }
        }
        Ending { demoted, log_e: self.chain.log_e(), bad: self.chain.bad() }
    }

    /// All up to `to` that have not started do, and are clean.
    fn start_clean(&mut self, to: u64) {
        let count = to - self.started;
        if count == 0 {
            return;
        }
        if let [(_, rows)] = self.odds.clean[..] {
            self.counter.start(rows, count);
        } else {
            for _ in 0..count {
                let rows = self.odds.clean(&mut self.dice);
                self.counter.start(rows, 1);
            }
        }
        self.clean.push_back((self.started, count, self.chain.epochs()));
        self.started = to;
    }

    /// The first of the bad ones ends, after all clean ones that ended before it. True where it demotes.
    fn land(&mut self, now: u64, enough: f64) -> bool {
        while let Some((first, count, epochs)) = self.clean.front_mut() {
            let due = (now + 1).saturating_sub(self.delays.success).saturating_sub(*first).min(*count);
            self.counter.end(*epochs, due);
            *first += due;
            *count -= due;
            if *count > 0 {
                break;
            }
            self.clean.pop_front();
        }
        let Some((_, ticket, fraction)) = self.bad.pop_front() else { return false };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let seconds = now as f64 / RATE;
        self.chain.bad_so_far(ticket, &mut 0.0, fraction, seconds, &self.counter.read());
        self.counter.opened(self.chain.epochs());
        self.counter.end(ticket.epochs(), 1);
        self.chain.bad() >= 3 && self.chain.log_e() >= enough
    }
}
