//! How much evidence demotes in a fleet.

use crate::judge::threshold;

/// The evidence, as log E, at which the pool demotes: log(2 M / alpha), for M judged metrics and a chance of alpha in all
/// (`metrics`, `false_demotion_rate` as in [`threshold`]).
#[must_use]
pub fn pooled_threshold(metrics: u32, false_demotion_rate: f64) -> f64 {
    threshold(metrics.max(1).saturating_mul(2), false_demotion_rate)
}

/// The evidence at which a replica demotes by what it has seen itself: log(2 M R / alpha), where R (`most`) is the
/// number of such tests that a rollout may make. It is fixed when the rollout starts.
///
/// `seat` counts these tests, from 0. There is none for seats beyond R: a process that restarts and does not go on from
/// its stored sums starts another test, and if there were any number of them, so would their chances of an error add up.
#[must_use]
pub fn alone_threshold(metrics: u32, false_demotion_rate: f64, most: u32, seat: u32) -> Option<f64> {
    let tests = metrics.max(1).saturating_mul(2).saturating_mul(most.max(1));
    (seat < most.max(1)).then(|| threshold(tests, false_demotion_rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tests_together_have_alpha() {
        let chance = |enough: f64| (-enough).exp();
        for (metrics, most) in [(1, 1), (4, 30), (3, 300)] {
            let pooled = chance(pooled_threshold(metrics, 0.001));
            let alone: f64 =
                (0..10_000).filter_map(|seat| alone_threshold(metrics, 0.001, most, seat)).map(chance).sum();
            assert!((f64::from(metrics) * (pooled + alone) - 0.001).abs() < 1e-12);
        }
        assert!((pooled_threshold(4, 0.001) - 8000.0_f64.ln()).abs() < 1e-12);
        assert_eq!(alone_threshold(0, 0.001, 0, 0), Some(2000.0_f64.ln()));
        assert_eq!(alone_threshold(1, 0.001, 30, 30), None);
    }
}
