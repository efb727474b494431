//! One metric of `analysis.metrics`, as it is written and as it is judged.

use serde::{Deserialize, Serialize};

use super::{Max, Quantile, Span};
use crate::judge::{Limit, latency_limit};

/// Stable's requests below which its quantile is not compared with.
pub(super) const LEAST_OF_STABLE: u64 = 200;

/// A metric as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// What gates and messages call it.
    pub name: String,
    /// What is measured.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// The limit: a share of rows, or of latency a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Max>,
    /// The quantile of latency that the limit is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<Quantile>,
    /// Compared with stable instead of with a fixed limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_to: Option<CompareTo>,
    /// How many times stable's is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<f64>,
    /// Shown, and demotes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Which requests it is measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricType {
    /// Rows that failed.
    ErrorRate,
    /// Time from submit to result.
    Latency,
    /// Rows that are answered otherwise than by stable.
    Disagreement,
}

/// What a metric is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CompareTo {
    /// The stable version at the same time.
    Stable,
}

/// Which requests a metric is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Those that the canary answers.
    Live,
    /// Copies of stable's.
    Mirror,
}

/// A metric as it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// At most this share of rows fails.
    Errors(Limit),
    /// At most `share` of the rows are slower than `max`: "p95 <= 1 s" is "slower than 1 s" <= 0.05.
    Latency {
        /// The share that may be slower.
        share: Limit,
        /// The time.
        max: Span,
    },
    /// At most this many times stable's share of rows fails.
    ErrorsToStable {
        /// rho.
        ratio: f64,
    },
    /// At most `1 - quantile` of the rows, allowing for what is not known of stable, are slower than `ratio` times
    /// stable's quantile.
    LatencyToStable {
        /// The quantile.
        quantile: Quantile,
        /// How many times stable's.
        ratio: f64,
    },
}

impl Rule {
    /// The share of bad rows that is allowed, where that is fixed. For latency against stable it is the one for the
    /// fewest requests of stable that it is compared with, so it is never too strict.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Errors(limit) | Self::Latency { share: limit, .. } => Some(*limit),
            Self::LatencyToStable { quantile, .. } => latency_limit(quantile.value(), LEAST_OF_STABLE).ok(),
            Self::ErrorsToStable { .. } => None,
        }
    }
}

impl Metric {
    /// An absolute error rate.
    pub(super) fn errors(max: f64) -> Self {
        Self::named("errors", MetricType::ErrorRate, Some(Max::Share(max)), None)
    }

    /// The 95th percentile of latency: an absolute limit.
    pub(super) fn latency(max: Span) -> Self {
        Self::named("latency", MetricType::Latency, Some(Max::Time(max)), Some(Quantile::P95))
    }

    /// The 95th percentile of latency against stable's.
    pub(super) fn latency_vs_stable(ratio: f64) -> Self {
        let metric = Self::named("latency-vs-stable", MetricType::Latency, None, Some(Quantile::P95));
        Self { compare_to: Some(CompareTo::Stable), max_ratio: Some(ratio), ..metric }
    }

    fn named(name: &str, kind: MetricType, max: Option<Max>, quantile: Option<Quantile>) -> Self {
        let name = name.to_owned();
        Self { name, kind, max, quantile, compare_to: None, max_ratio: None, dry_run: false, source: None }
    }
}
