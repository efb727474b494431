//! What is asked.

use crate::{
    judge::{MOST_ROWS, threshold},
    policy::{FallbackOn, JudgeKind, Metric, Problem, RolloutPolicy, Rule, Span},
    rollout::Rules,
};

/// A policy, and the truth about its traffic. Shares are 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is tried out.
    pub policy: &'a RolloutPolicy,
    /// Requests of both tracks in a second, one row each.
    pub requests_per_second: f64,
    /// Requests that travel in one batch.
    pub batch_rows: u32,
    /// The share of the canary's requests that fail.
    pub error_rate: f64,
    /// The share of the canary's requests that are slower than the limit of latency, whatever that is.
    pub slow_rate: f64,
    /// The share of stable's requests that fail.
    pub stable_error_rate: f64,
    /// Rollouts.
    pub runs: u32,
    /// Where random numbers begin.
    pub seed: u64,
    /// How long each is followed.
    pub longest: Span,
}

/// The policy, ready to be used.
pub(super) struct Checked<'a> {
    pub rules: Rules,
    /// The metrics that can be measured.
    pub metrics: Vec<(&'a Metric, Rule)>,
    /// Evidence at which a metric demotes.
    pub enough: f64,
    /// Whether requests that the canary fails are answered by stable.
    pub falls_back: bool,
    /// Whether stable passes its own limit.
    pub stable_fails: bool,
    /// The longest time between two looks, in seconds.
    pub longest_tick: f64,
    /// Looks and bad executions that a run may have.
    pub budget: u64,
}

/// Bounds of what is asked: they bound the time and the memory that an answer takes.
const MOST_RATE: f64 = 1e6;
const MOST_BATCH: u32 = 1024;
const MOST_RUNS: u32 = 100_000;
const LONGEST: Span = Span::mins(7 * 24 * 60);
/// Looks and bad executions of all runs together: about a minute.
const MOST_EVENTS: u64 = 50_000_000;
/// How often it is asked whether stable has enough requests, in seconds.
const LONGEST_TICK: f64 = 60.0;

impl<'a> Inputs<'a> {
    pub(super) fn check(&self) -> Result<Checked<'a>, Problem> {
        let problem = |key: &str, expected: &str, got: &dyn std::fmt::Display| {
            Err(Problem { key: key.to_owned(), message: format!("expected {expected}, got {got}") })
        };
        let rate = self.requests_per_second;
        if !(rate > 0.0 && rate <= MOST_RATE) {
            return problem("requestsPerSecond", "above 0 and at most 1000000", &rate);
        }
        if !(1..=MOST_BATCH).contains(&self.batch_rows) {
            return problem("batchRows", "1 to 1024", &self.batch_rows);
        }
        let shares =
            [("errorRate", self.error_rate), ("slowRate", self.slow_rate), ("stableErrorRate", self.stable_error_rate)];
        for (key, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return problem(key, "a share from 0 to 1", &share);
            }
        }
        if !(1..=MOST_RUNS).contains(&self.runs) {
            return problem("runs", "1 to 100000", &self.runs);
        }
        if self.longest.0.is_zero() || self.longest > LONGEST {
            return problem("longest", "above 0s and at most 168h", &self.longest);
        }
        if let Some(Problem { key, message }) = self.policy.problems().into_iter().next() {
            return Err(Problem { key: format!("policy.{key}"), message });
        }
        self.checked()
    }

    fn checked(&self) -> Result<Checked<'a>, Problem> {
        let analysis = &self.policy.analysis;
        let mut metrics = Vec::new();
        for (place, metric) in analysis.metrics.iter().enumerate() {
            metrics.push((metric, metric.rule(&format!("policy.analysis.metrics[{place}]"))?));
        }
        let judged = u32::try_from(analysis.judged().count()).unwrap_or(u32::MAX);
        let stable_fails = metrics.iter().any(|(metric, rule)| {
            !metric.dry_run && matches!(rule, Rule::Errors(limit) if self.stable_error_rate > limit.share())
        });
        // A window is counted in sixtieths.
        let longest_tick = match analysis.judge {
            JudgeKind::Sequential => LONGEST_TICK,
            JudgeKind::Threshold => (analysis.window().as_secs() / 60.0).clamp(0.1, LONGEST_TICK),
        };
        Ok(Checked {
            rules: Rules::of(self.policy),
            metrics,
            enough: threshold(judged, analysis.false_demotion_rate),
            falls_back: self.policy.routing.fallback.on.contains(&FallbackOn::Error),
            stable_fails,
            longest_tick,
            budget: MOST_EVENTS / u64::from(self.runs),
        })
    }

    /// Rows of a batch, as they are judged.
    pub(super) fn counted_rows(&self) -> u32 {
        self.batch_rows.min(MOST_ROWS)
    }
}

/// The error rate and the slow rate of a canary that is at half of each limit: of a policy with fixed limits, else zero.
#[must_use]
pub fn healthy_rates(policy: &RolloutPolicy) -> (f64, f64) {
    let mut rates = (f64::INFINITY, f64::INFINITY);
    for metric in policy.analysis.judged() {
        match metric.rule("metric") {
            Ok(Rule::Errors(limit)) => rates.0 = rates.0.min(limit.share() / 2.0),
            Ok(Rule::Latency { share, .. }) => rates.1 = rates.1.min(share.share() / 2.0),
            Ok(Rule::LatencyToStable { quantile, .. }) => rates.1 = rates.1.min(quantile.beyond() / 2.0),
            Ok(Rule::ErrorsToStable { .. }) | Err(_) => {}
        }
    }
    let known = |rate: f64| if rate.is_finite() { rate } else { 0.0 };
    (known(rates.0), known(rates.1))
}
