//! The mixture of bets that [`super::Absolute`] and [`super::Chain`] share: logarithms of wealth, one per bet.

use super::Limit;
use crate::num::{float, log_sum_exp};

/// Bets.
pub(crate) const K: usize = 12;
/// The wealth of each bet, or what it is multiplied by, as logarithms.
pub(crate) type Wealth = [f64; K];

/// What executions multiply wealth by.
#[derive(Debug, Clone)]
pub(crate) struct Bets {
    pub p0: f64,
    /// `l_k`.
    stakes: Wealth,
    /// The debits of the weight that was asked for last: most dispatches weigh the same.
    last: (f64, Wealth),
}

/// Half of the mass bets from the start; the rest goes to epochs that open later, so that a canary that turns bad after
/// days of good service does not have those days to pay for first. After `j` epochs, `r_j = (1 + j)^(-1/4) / 2` is
/// still to be given out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mass {
    /// S: from the start. All epochs share their multipliers, so older ones are folded into it.
    pub start: Wealth,
    /// P: the youngest epoch, until everything that was dispatched before it opened has ended.
    pub pending: Option<Wealth>,
    /// j: epochs opened so far.
    pub epochs: u64,
    /// When the youngest opened, in seconds; minus infinity before the first.
    pub opened_at: f64,
}

/// Both: the wealth of one player.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    bets: Bets,
    pub mass: Mass,
}

impl Bets {
    /// Bets `l_k = (q_k - p0) / (p0 (1 - p0))`, each the best one against a true share `q_k`; the `q_k` evenly spaced
    /// in log-odds from `2 p0` to 0.97.
    pub fn new(limit: Limit) -> Self {
        let p0 = limit.share();
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let (low, high) = (logit(2.0 * p0), logit(0.97));
        let stakes = std::array::from_fn(|k| {
            let q = 1.0 / (1.0 + (-(low + (high - low) * float(k as u64) / float(K as u64 - 1))).exp());
            (q - p0) / (p0 * (1.0 - p0))
        });
        Self { p0, stakes, last: (0.0, [0.0; K]) }
    }

    /// `count` executions of weight `weight` start: multiplied by `1 - l_k p0 w` each, as if they were going to be
    /// clean.
    pub fn debit(&mut self, weight: f64, count: u64) -> Wealth {
        #[expect(clippy::float_cmp, reason = "the same weight again, or not")]
        if self.last.0 != weight {
            self.last = (weight, self.stakes.map(|stake| (-stake * self.p0 * weight).ln_1p()));
        }
        let count = float(count);
        self.last.1.map(|debit| count * debit)
    }

    /// Of an execution of weight `weight` the fraction `to` turned out bad, where `from` was known: what was debited
    /// for clean rows is exchanged for `1 + l_k w (f - p0)`.
    pub fn credit(&self, weight: f64, from: f64, to: f64) -> Wealth {
        let of = |stake: f64, fraction: f64| (stake * weight * (fraction - self.p0)).ln_1p();
        self.stakes.map(|stake| of(stake, to) - of(stake, from))
    }
}

/// Multiplies wealth by a change.
pub(crate) fn multiply(wealth: &mut Wealth, change: &Wealth) {
    wealth.iter_mut().zip(change).for_each(|(wealth, change)| *wealth += change);
}

impl Mass {
    /// Before anything was seen.
    pub fn new() -> Self {
        let start = [(0.5 / float(K as u64)).ln(); K];
        Self { start, pending: None, epochs: 0, opened_at: f64::NEG_INFINITY }
    }

    /// Something happened to an execution. `young`: it was dispatched after the pending epoch opened.
    fn multiply(&mut self, young: bool, change: &Wealth) {
        multiply(&mut self.start, change);
        if let Some(pending) = self.pending.as_mut().filter(|_| young) {
            multiply(pending, change);
        }
    }

    /// A bad execution was counted: an epoch opens, at most one a second, and none while one is pending.
    pub fn open(&mut self, now: f64) -> bool {
        let opens = self.pending.is_none() && now - self.opened_at >= 1.0;
        if opens {
            let before = self.reserve();
            self.epochs += 1;
            self.opened_at = now;
            self.pending = Some([((before - self.reserve()) / float(K as u64)).ln(); K]);
        }
        opens
    }

    /// Everything dispatched before the pending epoch opened has ended: from here its multipliers are those of S.
    pub fn fold(&mut self) {
        if let Some(pending) = self.pending.take() {
            for (wealth, pending) in self.start.iter_mut().zip(pending) {
                *wealth = log_sum_exp([*wealth, pending].into_iter());
            }
        }
    }

    /// `r_j`.
    fn reserve(&self) -> f64 {
        0.5 * (1.0 + float(self.epochs)).powf(-0.25)
    }

    /// log E, to the base e.
    pub fn log_e(&self) -> f64 {
        let pending = self.pending.iter().flatten();
        log_sum_exp(self.start.iter().chain(pending).copied().chain(std::iter::once(self.reserve().ln())))
    }
}

impl Mixture {
    /// That of a test against `limit` that has seen nothing.
    pub fn new(limit: Limit) -> Self {
        Self { bets: Bets::new(limit), mass: Mass::new() }
    }

    /// The limit.
    pub const fn p0(&self) -> f64 {
        self.bets.p0
    }

    /// [`Bets::debit`]. `young`: they were dispatched after the pending epoch opened.
    pub fn debit(&mut self, weight: f64, count: u64, young: bool) {
        self.mass.multiply(young, &self.bets.debit(weight, count));
    }

    /// [`Bets::credit`].
    pub fn credit(&mut self, weight: f64, from: f64, to: f64, young: bool) {
        self.mass.multiply(young, &self.bets.credit(weight, from, to));
    }
}
