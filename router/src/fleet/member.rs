//! One replica's part in judging one metric.

use super::Share;
use crate::{
    evidence::Counts,
    judge::{
        Chain, Debits, Limit, Ticket,
        debits::side,
        mixture::{Bets, K, multiply},
    },
};

/// One metric on one replica: its own test, and what it publishes for the pool's. In place of a [`Chain`], with the same
/// tickets and counts.
///
/// A ticket has one number, and two tests want to know whether an execution is younger than their epochs. So the number
/// counts *eras*: one begins when the own test opens an epoch, or this replica hears that the pool has ([`Member::learn`]).
/// It begins only when everything of the era before the last has ended, and so there are never more than two in flight:
/// whatever was pending at the last turn is settled at this one. What waits for an era comes with the next one, whoever
/// begins it.
#[derive(Debug, Clone)]
pub struct Member {
    alone: Chain,
    bets: Bets,
    /// What of the counts is in the share.
    charged: Debits,
    share: Share,
    bad_rows: f64,
    /// What was counted before this boot: a process that was buried begins another.
    before: Counts,
    /// The era in which this boot began, and the one in which it heard of the pool's youngest epoch.
    born: u64,
    since: u64,
    /// How often this process has begun again.
    births: u32,
    /// What comes with the next era, whoever begins it: epochs of the pool, and another boot.
    told: u64,
    again: bool,
}

impl Member {
    /// For a process that tests against `limit` by itself with `alone` and joins a pool in which `epochs` epochs have
    /// opened. The counts start from zero. It has to be published, empty, before the first execution is counted:
    /// otherwise the pool does not wait for it.
    #[must_use]
    pub fn new(limit: Limit, alone: Chain, epochs: u64) -> Self {
        let era = alone.epochs();
        Self {
            alone,
            bets: Bets::new(limit),
            charged: Debits::default(),
            share: Share { first: epochs, epochs, ..Share::default() },
            bad_rows: 0.0,
            before: Counts::default(),
            born: era,
            since: era,
            births: 0,
            told: epochs,
            again: false,
        }
    }

    /// The number that new tickets carry. It may have grown after [`Self::bad_so_far`] and [`Self::learn`].
    #[must_use]
    pub const fn epochs(&self) -> u64 {
        self.alone.epochs()
    }

    /// Epochs of the pool that it knows of.
    #[must_use]
    pub const fn knows(&self) -> u64 {
        self.share.epochs
    }

    /// How often this process has begun again: a part of the boot's name.
    #[must_use]
    pub const fn births(&self) -> u32 {
        self.births
    }

    /// The test of this replica alone, as of the last time the sums were brought up to date.
    #[must_use]
    pub const fn alone(&self) -> &Chain {
        &self.alone
    }

    /// Brings all sums up to date with `counts`, the sum of all shards.
    pub fn charge(&mut self, counts: &Debits) {
        let Self { alone, bets, charged, share, since, .. } = self;
        let era = alone.epochs();
        charged.catch_up(counts, |of, class, count| {
            let change = bets.debit(class.weight(), count);
            multiply(&mut share.all, &change);
            // Another era has begun since: nothing older is in flight.
            if of == side(era) || era > *since {
                multiply(&mut share.young, &change);
            }
        });
        alone.charge(counts);
    }

    /// As [`Chain::bad_so_far`].
    pub fn bad_so_far(&mut self, ticket: Ticket, known: &mut f64, fraction: f64, now: f64, counts: &Debits) {
        let (before, fraction) = (*known, fraction.min(1.0));
        if fraction.is_nan() || fraction <= before {
            return;
        }
        // Before an era may begin.
        self.charge(counts);
        // What another boot debited is not credited to this one.
        if self.is_of(ticket, self.born) {
            let change = self.bets.credit(ticket.class().weight(), before, fraction);
            multiply(&mut self.share.all, &change);
            if self.is_of(ticket, self.since) {
                multiply(&mut self.share.young, &change);
            }
            self.share.counts.bad_executions += u64::from(before == 0.0);
            self.bad_rows += (fraction - before) * f64::from(u32::try_from(ticket.class().rows()).unwrap_or(1));
        }
        let era = self.alone.epochs();
        self.alone.bad_so_far(ticket, known, fraction, now, counts);
        if self.alone.epochs() > era {
            self.begin_era(counts);
        }
    }

    /// Whether it was dispatched in the era `first` or later. Tickets have the last 16 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the same 16 bits")]
    fn is_of(&self, ticket: Ticket, first: u64) -> bool {
        let era = self.alone.epochs();
        let age = (era as u16).wrapping_sub(ticket.epochs() as u16);
        u64::from(age) <= era - first
    }

    /// The pool has opened `epochs` epochs; `buried`: it has [buried](super::Reports::cut) this boot. Then the pool hears
    /// nothing more of it, and this process goes on as another boot, under another name, that has seen nothing; what is
    /// in flight belongs to neither. To be told whenever the pool was read. Either comes with an era, and so not before
    /// what is older has ended: see [`Self::knows`] and [`Self::births`].
    pub fn learn(&mut self, epochs: u64, buried: bool, counts: &Debits) {
        self.told = self.told.max(epochs);
        self.again = buried;
        self.charge(counts);
        if (buried || self.told > self.share.epochs) && self.alone.turn(counts) {
            self.begin_era(counts);
        }
    }

    /// An era has begun. `counts` are charged.
    fn begin_era(&mut self, counts: &Debits) {
        let era = self.alone.epochs();
        if self.again {
            (self.again, self.births, self.born) = (false, self.births + 1, era);
            self.share = Share { first: self.told, ..Share::default() };
            self.bad_rows = 0.0;
            self.before = counted(counts);
        }
        if self.told > self.share.epochs || self.born == era {
            self.since = era;
            self.share.epochs = self.told;
            self.share.young = [0.0; K];
        }
    }

    /// What is to be published, as of now.
    pub fn share(&mut self, counts: &Debits) -> Share {
        self.charge(counts);
        let (all, era) = (counted(counts), self.alone.epochs());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
        let bad_rows = self.bad_rows.round() as u64;
        self.share.counts = Counts {
            executions: all.executions - self.before.executions,
            rows: all.rows - self.before.rows,
            bad_rows,
            ..self.share.counts
        };
        // What was in flight when this boot began is none of it.
        let has_older = era == self.since && self.since > self.born;
        self.share.older = if has_older { counts.in_flight(side(era + 1)) } else { 0 };
        self.share
    }
}

fn counted(counts: &Debits) -> Counts {
    Counts { executions: counts.executions(), rows: counts.rows(), ..Counts::default() }
}
