//! What a judge says.

/// A judgement of one metric, with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// What was observed: the share of rows that went badly (0 to 1), or for a comparison the ratio to stable's.
    pub value: f64,
    /// What is allowed of it.
    pub limit: f64,
    /// The evidence against the canary (a gate: for it), as log E to the base e. It grows while the limit is passed.
    pub evidence: f64,
    /// The evidence at which the judge decides, as the same logarithm.
    pub enough: f64,
    /// Executions that were counted.
    pub n: u64,
    /// Those of them with bad rows.
    pub bad: u64,
    /// Whether the judge has decided: demote (a gate: pass).
    pub decided: bool,
}

/// The evidence at which a canary is demoted: log(M / alpha) for `metrics` judged ones (M; 0 counts as 1) and a chance
/// of `false_demotion_rate` (alpha, above 0 and below 1) that a good canary is ever demoted by any of them (Bonferroni).
/// In a fleet the pool asks for twice that, and each of at most R replicas alone for 2 R times it: pass
/// `metrics * tests`.
#[must_use]
pub fn threshold(metrics: u32, false_demotion_rate: f64) -> f64 {
    (f64::from(metrics.max(1)) / false_demotion_rate).ln()
}
