//! The sequential test over counts from many threads.

use serde::{Deserialize, Serialize};

use super::{
    Class, Debits, Limit,
    debits::{classes, side},
    mixture::{K, Mixture},
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
}

/// What an execution in flight has to remember. Fraction of bad rows known so far, its class, and the epoch it was
/// dispatched in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticket {
    class: Class,
    epochs: u64,
    fraction: f64,
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

impl Ticket {
    /// For an execution of `class` that starts after `epochs` epochs ([`Chain::epochs`]) opened. Read that number
    /// first, then count the dispatch.
    #[must_use]
    pub const fn new(class: Class, epochs: u64) -> Self {
        Self { class, epochs, fraction: 0.0 }
    }

    /// Its class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Epochs that had been opened when it started.
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.epochs
    }
}

impl Chain {
    /// A test against `limit` (p0) that has seen nothing.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { mixture: Mixture::new(limit), charged: Debits::default(), bad: 0 }
    }

    /// Goes on from stored sums after a restart, with counts that start from zero. What was in flight then has been
    /// debited and can no longer be credited, so nothing has to be waited for.
    #[must_use]
    pub fn resume(limit: Limit, sums: &Sums) -> Self {
        let mut chain = Self::new(limit);
        chain.mixture.start = sums.start;
        chain.mixture.pending = sums.pending;
        chain.mixture.epochs = sums.epochs;
        chain.mixture.opened_at = sums.opened_at.unwrap_or(f64::NEG_INFINITY);
        chain.mixture.fold();
        chain.bad = sums.bad;
        chain
    }

    /// Its state, as of the last time it was brought up to date.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let Mixture { start, pending, epochs, opened_at, .. } = &self.mixture;
        let opened_at = opened_at.is_finite().then_some(*opened_at);
        Sums { start: *start, pending: *pending, epochs: *epochs, opened_at, bad: self.bad }
    }

    /// Epochs opened so far: what new tickets carry.
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.mixture.epochs
    }

    /// Brings the sums up to date with `counts`, the sum of all shards.
    pub fn charge(&mut self, counts: &Debits) {
        for side in 0..2 {
            let young = side == self.young();
            for class in classes() {
                let (now, charged) =
                    (counts.dispatched[side][class.index()], &mut self.charged.dispatched[side][class.index()]);
                if now > *charged {
                    self.mixture.debit(class.weight(), now - *charged, young);
                    *charged = now;
                }
            }
        }
        if self.mixture.pending.is_some() && counts.in_flight(1 - self.young()) == 0 {
            self.mixture.fold();
        }
    }

    const fn young(&self) -> usize {
        side(self.mixture.epochs)
    }

    /// `fraction` of the rows (0 to 1) of `ticket`'s execution are known to be bad, at `now` seconds. May be told again
    /// with more; less, or no number, changes nothing. `counts` is the sum of all shards, this execution included.
    pub fn bad_so_far(&mut self, ticket: &mut Ticket, fraction: f64, now: f64, counts: &Debits) {
        let (known, fraction) = (ticket.fraction, fraction.min(1.0));
        if fraction.is_nan() || fraction <= known {
            return;
        }
        self.charge(counts);
        if known == 0.0 {
            self.bad += 1;
        }
        self.mixture.credit(ticket.class.weight(), known, fraction, ticket.epochs == self.mixture.epochs);
        ticket.fraction = fraction;
        // Nothing in flight may share the side of those that will be younger: a thread that was held up between reading
        // the number of epochs and counting would be credited to an epoch that it did not debit.
        if counts.in_flight(side(self.mixture.epochs + 1)) == 0 {
            self.mixture.open(now);
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
        self.mixture.log_e()
    }
}
