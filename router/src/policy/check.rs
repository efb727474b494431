//! What does not fit together in a policy.

use std::fmt;
use std::time::Duration;

mod metrics;
mod steps;

use super::{CompareTo, HashKey, JudgeKind, Max, Metric, MetricType, Notification, RolloutPolicy, Span};
use crate::split::Split;

/// Far beyond any fleet; the evidence that each of them needs alone grows with its logarithm.
const MOST_REPLICAS: u32 = 100_000;

/// One finding: its key, and what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, such as `analysis.metrics[0].max`.
    pub key: String,
    /// Such as `expected a share above 0 and at most 0.4, got 0.5`.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl std::error::Error for Problem {}

/// Findings so far.
#[derive(Default)]
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    fn unless(&mut self, good: bool, key: &str, expected: &str, got: impl fmt::Display) {
        if !good {
            self.add(key, format!("expected {expected}, got {got}"));
        }
    }
}

impl RolloutPolicy {
    /// Everything that does not fit together, in the order of the file. None: the policy can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Findings::default();
        self.check_routing(&mut found);
        self.check_analysis(&mut found);
        steps::check(self, &mut found);
        let (most, ready) = (self.fleet.max_replicas, self.fleet.min_ready);
        found.unless((1..=MOST_REPLICAS).contains(&most), "fleet.maxReplicas", "1 to 100000", most);
        found.unless((1..=100).contains(&ready), "fleet.minReady", "1 to 100 percent", ready);
        for (place, notification) in self.notifications.iter().enumerate() {
            check_notification(&format!("notifications[{place}]"), notification, &mut found);
        }
        found.0
    }

    /// When a request is late: `routing.fallback.after`, else twice the largest latency limit, else one second.
    #[must_use]
    pub fn after(&self) -> Span {
        let twice = || self.latency_limits().map(|(_, limit)| limit).max().map(|limit| Span(limit.0.saturating_mul(2)));
        self.routing.fallback.after.or_else(twice).unwrap_or(Span::secs(1))
    }

    /// The same where requests end after `timeout` whatever happens: what nobody has written is kept halfway between the
    /// largest latency limit and that, so that stable has time to answer.
    #[must_use]
    pub fn after_within(&self, timeout: Duration) -> Span {
        let limit = self.latency_limits().map(|(_, limit)| limit.0).max().unwrap_or_default();
        let after = self.after();
        if self.routing.fallback.after.is_some() || after.0 < timeout || limit >= timeout {
            return after;
        }
        Span((limit + timeout) / 2)
    }

    /// Fixed limits of latency, with their places.
    fn latency_limits(&self) -> impl Iterator<Item = (usize, Span)> {
        self.analysis.metrics.iter().enumerate().filter_map(|(place, metric)| match (metric.kind, metric.max) {
            (MetricType::Latency, Some(Max::Time(limit))) => Some((place, limit)),
            _ => None,
        })
    }

    fn check_routing(&self, found: &mut Findings) {
        let routing = &self.routing;
        match (&routing.hash_key, routing.split) {
            (None, Split::Hash) => {
                found.add("routing.hashKey", "expected a key such as {header: X-User-Id} for `split: hash`");
            }
            (Some(_), Split::Balanced | Split::Random) => found.add("routing.hashKey", "only `split: hash` has a key"),
            (Some(HashKey::Header(name)), Split::Hash) => {
                found.unless(is_header(name), "routing.hashKey.header", "a header's name", format!("{name:?}"));
            }
            (Some(HashKey::Field(name)), Split::Hash) => {
                found.unless(!name.is_empty(), "routing.hashKey.field", "a key of `parameters`", "nothing");
            }
            (None, _) => {}
        }
        let after = self.after();
        for (place, limit) in self.latency_limits().filter(|(_, limit)| after <= *limit) {
            let expected = format!("longer than analysis.metrics[{place}].max ({limit})");
            found.unless(false, "routing.fallback.after", &expected, after);
        }
        found.unless(!after.0.is_zero(), "routing.fallback.after", "longer than nothing", after);
        let percent = routing.fallback.budget_percent;
        found.unless((0.0..=100.0).contains(&percent), "routing.fallback.budgetPercent", "0 to 100", percent);
    }

    fn check_analysis(&self, found: &mut Findings) {
        let analysis = &self.analysis;
        let rate = analysis.false_demotion_rate;
        found.unless(rate > 0.0 && rate <= 0.5, "analysis.falseDemotionRate", "above 0 and at most 0.5", rate);
        found.unless(analysis.min_failures > 0, "analysis.minFailures", "at least 1", analysis.min_failures);
        let threshold = analysis.judge == JudgeKind::Threshold;
        for (key, written) in [("window", analysis.window.is_some()), ("minRequests", analysis.min_requests.is_some())]
        {
            if written && !threshold {
                found.add(format!("analysis.{key}"), "only `judge: threshold` has it");
            }
        }
        found.unless(!analysis.window().0.is_zero(), "analysis.window", "longer than nothing", analysis.window());
        for (place, metric) in analysis.metrics.iter().enumerate() {
            let key = format!("analysis.metrics[{place}]");
            if analysis.metrics[..place].iter().any(|other| other.name == metric.name) {
                found.add(format!("{key}.name"), format!("{:?} is the name of another metric", metric.name));
            }
            found.unless(!metric.name.is_empty(), &format!("{key}.name"), "a name", "nothing");
            if threshold && metric.compare_to == Some(CompareTo::Stable) {
                found.add(format!("{key}.compareTo"), "`judge: threshold` compares with fixed limits only");
            }
            if let Err(problem) = metric.rule(&key) {
                found.0.push(problem);
            }
        }
    }
}

/// A token, as HTTP has it.
fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn check_notification(key: &str, notification: &Notification, found: &mut Findings) {
    if notification.url.is_some() == notification.url_from.is_some() {
        let got = if notification.url.is_some() { "both" } else { "none" };
        found.unless(false, key, "one of `url` and `urlFrom`", got);
    }
    found.unless(!notification.on.is_empty(), &format!("{key}.on"), "at least one occasion", "none");
}
