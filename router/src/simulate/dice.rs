//! Random numbers that are the same for ever: `SplitMix64`.

use crate::num::{float, mix};

pub(super) struct Dice(u64);

impl Dice {
    /// Those of run `run`: independent of all others.
    pub const fn new(seed: u64, run: u64) -> Self {
        Self(mix(mix(seed) ^ mix(!run)))
    }

    /// Evenly in 0 to 1, above 0.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        float((mix(self.0) >> 11) + 1) / float(1 << 53)
    }

    /// How many that are each bad with this probability are not, before the next one that is.
    pub fn gap(&mut self, probability: f64) -> u64 {
        if probability <= 0.0 {
            return u64::MAX;
        }
        let gap = self.unit().ln() / (-probability).ln_1p();
        // More than any run has; of a certain failure it is 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1e18")]
        {
            gap.clamp(0.0, 1e18) as u64
        }
    }

    /// Of `rows` rows that are each bad with this probability, how many are.
    pub fn count(&mut self, rows: u32, probability: f64) -> u32 {
        (0..rows).map(|_| u32::from(self.unit() <= probability)).sum()
    }

    /// The same, where at least one is known to be.
    pub fn count_of_some(&mut self, rows: u32, probability: f64) -> u32 {
        if probability >= 1.0 || rows <= 1 {
            return rows;
        }
        // The first bad one: a geometric number, given that it is among the rows.
        let some = -(f64::from(rows) * (-probability).ln_1p()).exp_m1();
        let first = (-self.unit() * some).ln_1p() / (-probability).ln_1p();
        let before = (0..rows - 1).take_while(|row| f64::from(row + 1) <= first).count();
        1 + self.count(rows - 1 - u32::try_from(before).unwrap_or(0), probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_asked() {
        let mut dice = Dice::new(1, 2);
        let gaps: u64 = (0..20_000).map(|_| dice.gap(0.05)).sum();
        assert!((float(gaps) / 20_000.0 - 19.0).abs() < 0.5, "{gaps}");
        assert_eq!((dice.gap(0.0), dice.gap(1.0)), (u64::MAX, 0));
        // 8 rows at 10 %: 0.8 bad ones each, and 0.8 / (1 - 0.9^8) where there is one.
        let some: u32 = (0..20_000).map(|_| dice.count_of_some(8, 0.1)).sum();
        assert!((f64::from(some) / 20_000.0 - 0.8 / (1.0 - 0.9_f64.powi(8))).abs() < 0.02, "{some}");
        assert!((0..1000).all(|_| (1..=3).contains(&dice.count_of_some(3, 0.01))));
        assert_eq!((dice.count_of_some(5, 1.0), dice.count_of_some(1, 1e-9), dice.count(4, 0.0)), (5, 1, 0));
    }

    #[test]
    fn runs_differ_and_repeat() {
        let first = |seed, run| Dice::new(seed, run).unit().to_bits();
        assert_eq!(first(1, 1), first(1, 1));
        let all: std::collections::BTreeSet<u64> = (0..30).flat_map(|n| [first(n, 0), first(0, n + 1)]).collect();
        assert_eq!(all.len(), 60);
    }
}
