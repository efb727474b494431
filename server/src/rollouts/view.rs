//! A rollout as people and programs are shown it: the admin API's view, and gauges.

use std::time::Duration;

use perch_router::judge::Verdict;
use perch_router::policy::{CompareTo, GateStep, Pause, Step};
use perch_router::rollout::{Course, PausedBy, Phase, Version};
use perch_router::track::Track;
use perch_store::Audit;
use serde_json::{Map, Value, json};

use super::driver::{Tools, is_ready};
use super::live::{Judge, Live, Why};
use super::model::{AtWork, ModelRollout};
use super::moment;
use crate::metrics::rollouts::{self as metrics, Gauges, MetricGauges};

/// What the admin API shows of a model.
pub(super) fn view(model: &ModelRollout, tools: &Tools) -> Value {
    let (state, policy) = (&model.state, model.policy());
    let now = tools.clock.now();
    let course = course(&state.phase);
    let work = model.at_work.as_ref();
    let remaining = course.and_then(remaining);
    let waiting = course.and_then(|course| waiting_for(course, &state.phase));
    let mut view = Map::new();
    let mut set = |key: &str, value: Value| view.insert(key.to_owned(), value);
    set("model", json!(model.name()));
    set("generation", json!(state.generation));
    set("state", json!(state.phase.name()));
    set("reason", json!(reason(model, tools)));
    set("stable", json!(stable(model).map(version)));
    set("canary", json!(shown(model).map(version)));
    set("rollout", json!(model.rollout_id()));
    set("strategy", json!(if policy.strategy.blue_green.is_some() { "blueGreen" } else { "canary" }));
    set("judge", json!(policy.analysis.judge));
    set("split", json!(policy.routing.split));
    set("policy", json!(model.rollout.name));
    set("weight", json!(weight(model)));
    set("actualShare", json!(work.and_then(|work| work.vitals.actual_share()).map(|share| round(100.0 * share, 2))));
    // What was warm once is not so right after a restart.
    let warm = course.is_some_and(|course| course.ready) && is_ready(model);
    set("ready", json!(warm || matches!(state.phase, Phase::Promoted { .. })));
    set("step", json!(course.map(|course| course.step + 1)));
    set("steps", json!(course.map(|course| course.plan.steps.len())));
    set("plan", json!(course.map(|course| course.plan.steps.as_slice()).unwrap_or_default()));
    set("stepElapsed", json!(course.map(|course| round(course.spent, 1))));
    set("stepRemaining", json!(remaining.map(|left| round(left, 1))));
    set("waitingFor", json!(waiting));
    set("pausedBy", json!(paused_by(&state.phase)));
    set("until", json!(until(&state.phase).map(moment::text)));
    let seen = work.map(|work| Numbers::of(model, work)).or_else(|| model.last.clone());
    let seen = seen.unwrap_or_else(|| Numbers { metrics: metrics_of(model, None), ..Numbers::default() });
    set("metrics", seen.metrics);
    set("gate", json!(course.and_then(|course| gate(course, work?))));
    set("tracks", seen.tracks);
    set("fallbacks", seen.fallbacks);
    set("stableFailing", json!(state.stable_failing));
    let quarantine = state.quarantine.iter().filter(|(digest, _)| state.quarantined(digest, now).is_some());
    let quarantine = quarantine.map(|(digest, until)| json!({"digest": digest, "until": moment::text(*until)}));
    set("quarantine", json!(quarantine.collect::<Vec<_>>()));
    set("lastChange", json!(model.last_change.as_ref().map(change)));
    set("fleet", json!(tools.fleet().map(|fleet| fleet.show(model.name(), is_ready(model)))));
    let joins = tools.fleet().is_some() && model.needs_evidence().is_some();
    set("store", store(tools.rollouts.store_error(), joins));
    set("updatedAt", json!(moment::text(now)));
    Value::Object(view)
}

/// What was counted. It is still shown when a canary is out: that is when people look.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    metrics: Value,
    tracks: Value,
    fallbacks: Value,
}

impl Numbers {
    pub(super) fn of(model: &ModelRollout, work: &AtWork) -> Self {
        let now = work.live.clock.now();
        let (metrics, tracks) = (metrics_of(model, Some(work)), tracks(model, work, now));
        Self { metrics, tracks, fallbacks: fallbacks(&work.live) }
    }
}

pub(super) const fn course(phase: &Phase) -> Option<&Course> {
    match phase {
        Phase::Progressing(course) | Phase::Paused { course, .. } | Phase::Suspended { course, .. } => Some(course),
        _ => None,
    }
}

fn version(version: &Version) -> Value {
    json!({"version": version.name, "digest": version.digest})
}

/// What serves as stable: after going back from a promotion not what the alias still names.
fn stable(model: &ModelRollout) -> Option<&Version> {
    match &model.state.phase {
        Phase::Demoted { back: Some(back), .. } | Phase::Aborted { back: Some(back), .. } => Some(back),
        _ => model.state.stable.as_ref(),
    }
}

/// What is tried, or was before it ended, or is to be.
fn shown(model: &ModelRollout) -> Option<&Version> {
    match &model.state.phase {
        Phase::Demoted { version, .. } | Phase::Aborted { version, .. } => Some(version),
        _ => model.state.trying().or(model.state.canary.as_ref()),
    }
}

/// The canary's share in percent: nothing from the moment a judge has decided.
fn weight(model: &ModelRollout) -> f64 {
    // What has held serves as stable in a moment: it is no canary any more.
    let work = model.at_work.as_ref().filter(|_| model.state.trying().is_some());
    work.map_or(0.0, |work| work.live.weight().percent())
}

fn reason(model: &ModelRollout, tools: &Tools) -> Option<String> {
    match &model.state.phase {
        Phase::Demoted { reason, .. } | Phase::Aborted { reason, .. } => Some(reason.to_string()),
        Phase::Suspended { .. } => Some("stable passes its limit as well".to_owned()),
        Phase::Paused { by: PausedBy::Unfit, .. } => {
            // It may not have said so itself yet, or be gone by now.
            let unfit = tools.fleet().and_then(|fleet| fleet.unfit(model.name()));
            let said = unfit.map(|(replica, why)| format!("{replica} cannot load the canary: {why}"));
            Some(said.unwrap_or_else(|| "a replica cannot load the canary".to_owned()))
        }
        Phase::Paused { by, .. } => Some(
            match by {
                PausedBy::Step => "the step waits until it is resumed",
                PausedBy::Operator => "paused by an operator",
                PausedBy::Inconclusive => "a gate did not get what it needs to decide",
                PausedBy::Unfit => "a replica cannot load the canary",
            }
            .to_owned(),
        ),
        _ => None,
    }
}

const fn paused_by(phase: &Phase) -> Option<PausedBy> {
    match phase {
        Phase::Paused { by, .. } => Some(*by),
        _ => None,
    }
}

const fn until(phase: &Phase) -> Option<f64> {
    match phase {
        Phase::Promoted { until, .. } => Some(*until),
        _ => None,
    }
}

/// Seconds that a step still takes, where it ends by time.
fn remaining(course: &Course) -> Option<f64> {
    match course.plan.steps.get(course.step)? {
        Step::Pause(Pause { duration: Some(duration), .. }) => Some((duration.as_secs() - course.spent).max(0.0)),
        _ => None,
    }
}

/// What the present step needs, in words.
fn waiting_for(course: &Course, phase: &Phase) -> Option<String> {
    if !course.ready {
        return Some(format!("version {} to be loaded and warm", course.version.name));
    }
    match phase {
        Phase::Paused { .. } => return Some("somebody to resume".to_owned()),
        Phase::Suspended { .. } => return Some("stable to be well for a minute".to_owned()),
        _ => {}
    }
    match course.plan.steps.get(course.step)? {
        Step::Pause(pause) => {
            let left = remaining(course).unwrap_or(0.0);
            let missing = pause.min_executions.saturating_sub(course.executions - course.executions_before);
            let time = Duration::try_from_secs_f64(left.ceil()).unwrap_or_default();
            let time = humantime::format_duration(time);
            Some(match (left > 0.0, missing > 0) {
                (true, true) => format!("{time} of traffic and {missing} executions"),
                (true, false) => format!("{time} of traffic"),
                (false, true) => format!("{missing} executions"),
                (false, false) => "the next tick".to_owned(),
            })
        }
        Step::Gate(gate) => Some(format!("a gate on {}", gate.metrics.join(", "))),
        _ => None,
    }
}

fn metrics_of(model: &ModelRollout, work: Option<&AtWork>) -> Value {
    let policy = work.map_or(&model.rollout.policy, |work| &work.live.policy);
    let verdicts = work.map(|work| work.live.verdicts()).unwrap_or_default();
    let unit = |metric: &perch_router::policy::Metric| {
        let compares =
            metric.compare_to == Some(CompareTo::Stable) && metric.max_ratio.is_some() && metric.quantile.is_none();
        if compares { "ratio" } else { "share" }
    };
    let metrics = policy.analysis.metrics.iter().enumerate().map(|(place, metric)| {
        let judge = work.and_then(|work| work.live.judges.get(place));
        let verdict = verdicts.get(place).copied().flatten();
        let rule = metric.rule(&metric.name).ok();
        let limit = verdict.map(|verdict| verdict.limit).or_else(|| Some(rule?.limit()?.share()));
        let slow_after = judge.and_then(Judge::slow_after);
        let compares_latency = judge.is_some_and(|judge| judge.is_latency() && slow_after.is_none());
        let status = match (verdict, judge) {
            (Some(verdict), Some(judge)) if verdict.decided && judge.counts => "breached",
            (_, Some(judge)) if !judge.counts => "shown",
            _ if compares_latency => "inconclusive",
            (Some(_), _) => "ok",
            (None, _) => "inconclusive",
        };
        let verdict = verdict.unwrap_or(Verdict {
            value: 0.0,
            limit: 0.0,
            evidence: 0.0,
            enough: 0.0,
            n: 0,
            bad: 0,
            decided: false,
        });
        json!({
            "name": metric.name,
            "type": metric.kind,
            "compareTo": metric.compare_to,
            "quantile": metric.quantile.map(|quantile| quantile.to_string()),
            "unit": unit(metric),
            "value": finite(verdict.value),
            "limit": limit.filter(|_| !compares_latency),
            "latencyLimit": slow_after.map(|limit| limit.as_secs_f64()),
            "evidence": finite(verdict.evidence),
            "enough": finite(verdict.enough),
            "n": verdict.n,
            "bad": verdict.bad,
            "dryRun": metric.dry_run,
            "status": status,
        })
    });
    metrics.collect()
}

fn gate(course: &Course, work: &AtWork) -> Option<Value> {
    let step: &GateStep = match course.plan.steps.get(course.step)? {
        Step::Gate(step) => step,
        _ => return None,
    };
    let metrics = work.gates.report(&work.live, step, work.weight).into_iter().map(|report| {
        let Verdict { value, limit, evidence, enough, n, bad, decided } = report.verdict;
        json!({
            "name": report.metric,
            "value": finite(value),
            "limit": limit,
            "evidence": finite(evidence),
            "enough": finite(enough),
            "n": n,
            "bad": bad,
            "passed": decided,
        })
    });
    Some(json!({"step": course.step + 1, "metrics": metrics.collect::<Vec<_>>()}))
}

fn tracks(model: &ModelRollout, work: &AtWork, now: f64) -> Value {
    let [stable, canary] = Track::ALL.map(|track| {
        let totals = work.live.track(track).totals();
        let of = match track {
            Track::Stable => match &model.state.phase {
                // Kept, and asked where the new one fails.
                Phase::Promoted { old: Some(old), .. } => Some(old),
                _ => stable(model),
            },
            Track::Canary => shown(model),
        };
        let latency =
            |quantile: f64| work.vitals.latency(track, quantile).map(|time| round(time.as_secs_f64() * 1e3, 3));
        json!({
            "version": of.map(|version| &version.name),
            "requests": totals.requests,
            "failed": totals.failed,
            "perSecond": round(work.vitals.per_second(track, now), 1),
            "p50": latency(0.5),
            "p95": latency(0.95),
            "p99": latency(0.99),
        })
    });
    json!({"stable": stable, "canary": canary})
}

fn fallbacks(live: &Live) -> Value {
    let (left, burst, exhausted) = live.budget.state();
    let mut value = json!({"exhausted": exhausted, "left": left, "burst": burst});
    for (why, count) in Why::ALL.into_iter().zip(live.fallbacks()) {
        value[why.name()] = json!(count);
    }
    value
}

fn change(audit: &Audit) -> Value {
    let Audit { generation, at, who, from, to, what, .. } = audit;
    json!({"generation": generation, "at": moment::text(*at), "who": who, "from": from, "to": to, "what": what})
}

/// `joins`: what others have counted of what is tried is not known here yet, and it gets no requests.
fn store(error: Option<String>, joins: bool) -> Value {
    let well = || json!({"state": if joins { "joining" } else { "ready" }});
    error.map_or_else(well, |error| json!({"state": "unavailable", "error": error}))
}

/// Sets the gauges of a model's rollout.
pub(super) fn gauge(model: &ModelRollout, tools: &Tools) {
    let state = &model.state;
    metrics::set(
        model.name(),
        &Gauges {
            state: state.phase.name(),
            weight: weight(model),
            step: course(&state.phase).map_or(0, |course| course.step + 1),
            generation: state.generation,
            actual_share: model.at_work.as_ref().and_then(|work| work.vitals.actual_share()).map(|share| 100.0 * share),
            fallbacks_left: model.at_work.as_ref().map_or_else(
                || i64::from(model.rollout.policy.routing.fallback.burst),
                |work| work.live.budget.state().0,
            ),
            stable_failing: state.stable_failing,
        },
    );
    metrics::set_store_up(tools.rollouts.store_error().is_none());
    let Some(work) = &model.at_work else { return };
    for (judge, verdict) in work.live.judges.iter().zip(work.live.verdicts()) {
        let Some(verdict) = verdict else { continue };
        let gauges = MetricGauges {
            value: verdict.value,
            limit: verdict.limit,
            evidence: verdict.evidence,
            enough: verdict.enough,
            executions: verdict.n,
            bad: verdict.bad,
        };
        metrics::set_metric(model.name(), &judge.metric.name, &gauges);
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}
