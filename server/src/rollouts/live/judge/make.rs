//! A judge as a policy, and what was counted before, make it.

use std::sync::atomic::AtomicU32;

use parking_lot::Mutex;
use perch_router::evidence::Counts;
use perch_router::fleet::{Member, Pooled, alone_threshold, pooled_threshold};
use perch_router::judge::{Chain, Relative, Shard, Shared, Threshold, threshold};
use perch_router::policy::{JudgeKind, Metric, RolloutPolicy, Rule};
use perch_router::split::Split;

use super::{AtomicLimit, Judge, Slowness, State, Test};
use crate::rollouts::live::stored::{Kept, StoredMetric};
use crate::rollouts::live::together::Seat;

impl Judge {
    /// A judge of `metric`, on so many slots, that goes on from what is stored, or judges with others from `seat` on. None
    /// where the metric has no rule, which the policy's check refuses.
    #[must_use]
    pub fn new(
        policy: &RolloutPolicy,
        metric: &Metric,
        slots: usize,
        stored: Option<StoredMetric>,
        seat: Option<&Seat>,
    ) -> Option<Self> {
        let rule = metric.rule(&metric.name).ok()?;
        let analysis = &policy.analysis;
        let by_keys = policy.routing.split == Split::Hash;
        // Keys are no coins: what they show is shown, not judged.
        let shown_only = |metric: &Metric, rule: &Rule| metric.dry_run || (by_keys && rule.limit().is_none());
        let counts = !shown_only(metric, &rule);
        let judged = analysis
            .metrics
            .iter()
            .filter(|metric| metric.rule(&metric.name).is_ok_and(|rule| !shown_only(metric, &rule)));
        let judged = u32::try_from(judged.count()).unwrap_or(u32::MAX);
        let stored = stored.unwrap_or_default();
        let test = match (&rule, rule.limit(), analysis.judge, stored.kept) {
            (Rule::ErrorsToStable { .. }, _, _, Some(Kept::Relative(relative))) => Test::Relative(relative),
            (Rule::ErrorsToStable { ratio }, ..) => Test::Relative(Relative::new(*ratio).ok()?),
            (_, Some(limit), JudgeKind::Sequential, _) if let Some(seat) = seat => {
                let epochs = seat.pool.metric(&metric.name).map_or(0, Pooled::epochs);
                Test::Member(Box::new(Member::new(limit, Chain::new(limit), epochs)))
            }
            (_, Some(limit), JudgeKind::Sequential, Some(Kept::Chain(sums))) => {
                Test::Chain(Box::new(Chain::resume(limit, &sums)))
            }
            (_, Some(limit), JudgeKind::Sequential, _) => Test::Chain(Box::new(Chain::new(limit))),
            (_, _, JudgeKind::Threshold, Some(Kept::Window(window))) => Test::Window(window),
            (_, Some(limit), JudgeKind::Threshold, _) => {
                let least = analysis.min_requests().into();
                Test::Window(Threshold::new(analysis.window().as_secs(), least, limit.share()))
            }
            (_, None, ..) => return None,
        };
        let epochs = match &test {
            Test::Chain(chain) => chain.epochs(),
            Test::Member(member) => member.epochs(),
            Test::Window(_) | Test::Relative(_) => 0,
        };
        let (rate, most) = (analysis.false_demotion_rate, policy.fleet.max_replicas);
        let enough = seat.map_or_else(
            || threshold(judged, rate),
            // Those beyond the last seat have the pool only.
            |seat| alone_threshold(judged, rate, most, seat.number).unwrap_or(f64::INFINITY),
        );
        let slow_after = Slowness::of(if let Rule::Latency { max, .. } = rule { Some(max.0) } else { None });
        let pooled_enough = pooled_threshold(judged, rate);
        let least = analysis.min_failures.into();
        let pooled = seat.and_then(|seat| seat.pool.metric(&metric.name)).zip(rule.limit());
        let pooled = pooled.map(|(pooled, limit)| pooled.verdict(limit.share(), pooled_enough, least));
        Some(Self {
            metric: metric.clone(),
            rule,
            counts,
            enough,
            pooled_enough,
            min_failures: least,
            slow_after: AtomicLimit(AtomicU32::new(slow_after.0)),
            shared: Shared::new(epochs),
            shards: (0..slots).map(|_| Shard::default()).collect(),
            state: Mutex::new(State { test, pooled, bad: 0, bad_rows: 0.0, told: Counts::default() }),
            before: stored.counts,
        })
    }
}
