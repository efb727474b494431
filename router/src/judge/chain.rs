//! The sequential test over counts from many threads.

use serde::{Deserialize, Serialize};

use super::{
    Class, Debits, Limit,
    debits::side,
    mixture::{K, Mass, Mixture},
};

/// [`super::Absolute`] for many threads: the same evidence, from [`Debits`] that add up.
///
/// A dispatch only counts (see [`Debits`]) and takes a [`Ticket`] with it. The sums are brought up to date when
/// something bad ends, or on a tick: that nothing is multiplied in between changes nothing, as a product does not care
/// for the order of its factors. Folding late changes nothing either: while an epoch is pending all that start are
/// younger than it, and multiply both sums alike.
///
/// Threads may see a number of epochs, or a largest batch, that has just grown. A ticket is debited and credited by what
/// it says itself, so the sums stay those of a fair game: its weight was fixed before its outcome, and an epoch that
/// debits it and does not credit it only loses.
#[derive(Debug, Clone)]
pub struct Chain {
    mixture: Mixture,
    /// What of the counts is in the sums.
    charged: Debits,
    bad: u64,
    /// What tickets carry: it grows with each epoch, and between them where somebody else needs to tell the executions
    /// before a moment from those after it ([`Chain::turn`]). A pending epoch opened when it last grew.
    era: u64,
}

/// What an execution in flight has to remember: its class, and the era it was dispatched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The last 16 bits of that number: epochs open at most once a second, so none is in flight for as many.
    epochs: u16,
    class: Class,
}

/// A chain's state as it is stored and sent: logarithms to the base e, one per bet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// S: the process from the start, with older epochs folded in.
    pub start: [f64; K],
    /// P: the youngest epoch, while something dispatched before it is in flight.
    pub pending: Option<[f64; K]>,
    /// Epochs opened so far.
    pub epochs: u64,
    /// When the youngest opened, in seconds.
    pub opened_at: Option<f64>,
    /// Executions with bad rows.
    pub bad: u64,
}

impl Sums {
    pub(crate) fn new(mass: &Mass, bad: u64) -> Self {
        let opened_at = mass.opened_at.is_finite().then_some(mass.opened_at);
        Self { start: mass.start, pending: mass.pending, epochs: mass.epochs, opened_at, bad }
    }

    pub(crate) fn mass(&self) -> Mass {
        let Self { start, pending, epochs, opened_at, .. } = *self;
        Mass { start, pending, epochs, opened_at: opened_at.unwrap_or(f64::NEG_INFINITY) }
    }
}

impl Ticket {
    /// For an execution of `class` that starts after `epochs` epochs ([`Chain::epochs`]) opened. Read that number
    /// first, then count the dispatch.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "meant")]
    pub const fn new(class: Class, epochs: u64) -> Self {
        Self { epochs: epochs as u16, class }
    }

    /// As one number, never 0.
    #[must_use]
    pub const fn pack(self) -> u32 {
        (self.epochs as u32) << 16 | self.class.pack() as u32
    }

    /// What was packed; none for 0.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    pub fn unpack(packed: u32) -> Option<Self> {
        Some(Self { epochs: (packed >> 16) as u16, class: Class::unpack(packed as u16)? })
    }

    /// Its class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Epochs that had been opened when it started, modulo 2^16.
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.epochs as u64
    }
}

impl Chain {
    /// A test against `limit` (p0) that has seen nothing.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { mixture: Mixture::new(limit), charged: Debits::default(), bad: 0, era: 0 }
    }

    /// Goes on from stored sums after a restart, with counts that start from zero. What was in flight then has been
    /// debited and can no longer be credited, so nothing has to be waited for.
    #[must_use]
    pub fn resume(limit: Limit, sums: &Sums) -> Self {
        let mut chain = Self::new(limit);
        chain.mixture.mass = sums.mass();
        chain.mixture.mass.fold();
        chain.bad = sums.bad;
        chain.era = sums.epochs;
        chain
    }

    /// Its state, as of the last time it was brought up to date.
    #[must_use]
    pub fn sums(&self) -> Sums {
        Sums::new(&self.mixture.mass, self.bad)
    }

    /// What new tickets carry: epochs opened so far, and [turns](Self::turn) between them.
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.era
    }

    /// Brings the sums up to date with `counts`, the sum of all shards.
    pub fn charge(&mut self, counts: &Debits) {
        let (mixture, young) = (&mut self.mixture, side(self.era));
        self.charged.catch_up(counts, |side, class, count| mixture.debit(class.weight(), count, side == young));
        if self.mixture.mass.pending.is_some() && counts.in_flight(1 - young) == 0 {
            self.mixture.mass.fold();
        }
    }

    /// What starts from here on is told from what started before, though no epoch opens: new tickets carry the next
    /// number. False, and nothing, while something of the last but one is in flight. `counts` as everywhere.
    pub fn turn(&mut self, counts: &Debits) -> bool {
        // Folds what is pending, under the same condition.
        self.charge(counts);
        // Nothing in flight may share the side of those that will be younger: a thread that was held up between reading
        // the number and counting would be credited to an epoch that it did not debit.
        let turns = counts.in_flight(side(self.era + 1)) == 0;
        self.era += u64::from(turns);
        turns
    }

    /// `fraction` of the rows (0 to 1) of `ticket`'s execution are known to be bad, at `now` seconds; of `known` it was
    /// told before, which starts at 0 and follows. Less, or no number, changes nothing. `counts` is the sum of all shards,
    /// this execution included.
    pub fn bad_so_far(&mut self, ticket: Ticket, known: &mut f64, fraction: f64, now: f64, counts: &Debits) {
        let (before, fraction) = (*known, fraction.min(1.0));
        if fraction.is_nan() || fraction <= before {
            return;
        }
        *known = fraction;
        self.charge(counts);
        if before == 0.0 {
            self.bad += 1;
        }
        let young = ticket.epochs == Ticket::new(ticket.class, self.era).epochs;
        self.mixture.credit(ticket.class.weight(), before, fraction, young);
        // Nothing in flight may share the side of those that will be younger, as in `turn`.
        if counts.in_flight(side(self.era + 1)) == 0 && self.mixture.mass.open(now) {
            self.era += 1;
        }
    }

    /// Executions with bad rows so far.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// log E, to the base e, as of the last time the sums were brought up to date.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.mixture.mass.log_e()
    }
}
