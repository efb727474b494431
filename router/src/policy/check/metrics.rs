//! One metric: what is written to what is judged.

use super::{Max, Metric, MetricType, Problem};
use crate::{
    judge::{Limit, latency_limit},
    policy::{Quantile, Rule, Source, metric::LEAST_OF_STABLE},
};

impl Metric {
    /// How it is judged. `key` is where it is written, for the message of what is wrong with it.
    pub fn rule(&self, key: &str) -> Result<Rule, Problem> {
        let problem = |name: &str, message: String| Problem { key: format!("{key}.{name}"), message };
        if self.source == Some(Source::Mirror) {
            return Err(problem("source", "`mirror` is not supported yet".to_owned()));
        }
        if self.kind == MetricType::Disagreement {
            return Err(problem("type", "`disagreement` is not supported yet".to_owned()));
        }
        if let (MetricType::ErrorRate, Some(quantile)) = (self.kind, self.quantile) {
            return Err(problem("quantile", format!("only latency has one, got {quantile}")));
        }
        let quantile = || {
            let missing = || problem("quantile", "expected a quantile such as p95".to_owned());
            self.quantile.ok_or_else(missing)
        };
        if self.compare_to.is_none() {
            if let Some(ratio) = self.max_ratio {
                return Err(problem("maxRatio", format!("only with `compareTo: stable`, got {ratio}")));
            }
            return match (self.kind, self.max) {
                (MetricType::ErrorRate, Some(Max::Share(max))) => {
                    Limit::new(max).map(Rule::Errors).map_err(|bad| problem("max", bad.to_string()))
                }
                (MetricType::Latency, Some(Max::Time(max))) if !max.0.is_zero() => {
                    let quantile = quantile()?;
                    let share =
                        Limit::new(quantile.beyond()).map_err(|_| problem("quantile", too_low("p60", quantile)))?;
                    Ok(Rule::Latency { share, max })
                }
                (kind, max) => {
                    let latency = kind == MetricType::Latency;
                    let form = if latency { "a duration such as 250ms" } else { "a share such as 0.01" };
                    let got = max.map_or_else(|| "nothing".to_owned(), |max| max.to_string());
                    Err(problem("max", format!("expected {form}, got {got}")))
                }
            };
        }
        if let Some(max) = self.max {
            return Err(problem("max", format!("expected `maxRatio` with `compareTo: stable`, got {max}")));
        }
        let ratio = self.max_ratio.ok_or_else(|| problem("maxRatio", "expected a ratio such as 1.5".to_owned()))?;
        if !(1.0..=1000.0).contains(&ratio) {
            return Err(problem("maxRatio", format!("expected a ratio from 1 to 1000, got {ratio}")));
        }
        if self.kind == MetricType::ErrorRate {
            return Ok(Rule::ErrorsToStable { ratio });
        }
        let quantile = quantile()?;
        let limit = latency_limit(quantile.value(), LEAST_OF_STABLE);
        limit
            .map(|_| Rule::LatencyToStable { quantile, ratio })
            .map_err(|_| problem("quantile", too_low("p66", quantile)))
    }
}

fn too_low(least: &str, quantile: Quantile) -> String {
    format!("expected at least {least}, got {quantile}")
}
