//! Schedules that teams already use.

use super::{Analysis, GateStep, Metric, OnInconclusive, Pause, Promote, RolloutPolicy, Span, Step, Strategy};
use crate::weight::Weight;

impl RolloutPolicy {
    /// The names of all presets.
    pub const PRESETS: [&str; 2] = ["phased", "four-steps"];

    /// The preset of this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "phased" => Some(Self::phased()),
            "four-steps" => Some(Self::four_steps()),
            _ => None,
        }
    }

    /// 10 % for 5 minutes with errors below 1 %, 50 % for 30 minutes with a latency that is normal against stable's,
    /// then all.
    #[must_use]
    pub fn phased() -> Self {
        Self::default()
    }

    /// 25, 50 and 75 % and all, two minutes each; back when more than 1 % fail or the 95th percentile of latency passes
    /// one second.
    #[must_use]
    pub fn four_steps() -> Self {
        let metrics = vec![Metric::errors(0.01), Metric::latency(Span::secs(1))];
        let steps = [25, 50, 75, 100].into_iter().flat_map(|percent| [set_weight(percent), pause(2)]);
        Self {
            analysis: Analysis { metrics, ..Analysis::default() },
            strategy: Strategy::canary(steps.chain([Step::Promote(Promote::default())]).collect()),
            ..Self::default()
        }
    }
}

pub(super) fn phased_metrics() -> Vec<Metric> {
    vec![Metric::errors(0.01), Metric::latency_vs_stable(1.2)]
}

pub(super) fn phased_steps() -> Vec<Step> {
    vec![
        set_weight(10),
        pause(5),
        gate("errors"),
        set_weight(50),
        pause(30),
        gate("latency-vs-stable"),
        set_weight(100),
        pause(10),
        Step::Promote(Promote::default()),
    ]
}

fn set_weight(percent: u16) -> Step {
    Step::SetWeight(Weight::from_ten_thousandths(percent * 100).unwrap_or_default())
}

const fn pause(minutes: u64) -> Step {
    Step::Pause(Pause { duration: Some(Span::mins(minutes)), min_executions: 0 })
}

fn gate(metric: &str) -> Step {
    Step::Gate(GateStep {
        metrics: vec![metric.to_owned()],
        confidence: 0.95,
        on_inconclusive: OnInconclusive::Extend,
        max_extend: Span::mins(30),
    })
}
