//! Metrics of rollouts: where they are, what the judges say, and what was told of them.

#![expect(clippy::disallowed_macros, reason = "metrics are registered here")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const NOTIFICATIONS: &str = "perch_notifications_total";
const OUTBOX_PENDING: &str = "perch_outbox_pending";
const OUTBOX_ATTEMPTS: &str = "perch_outbox_attempts_total";
const ROLLOUT_STATE: &str = "perch_rollout_state";
const ROLLOUT_WEIGHT: &str = "perch_rollout_weight_percent";
const ROLLOUT_SHARE: &str = "perch_rollout_actual_share_percent";
const ROLLOUT_STEP: &str = "perch_rollout_step";
const ROLLOUT_GENERATION: &str = "perch_rollout_generation";
const ROLLOUT_VALUE: &str = "perch_rollout_metric_value";
const ROLLOUT_LIMIT: &str = "perch_rollout_metric_limit";
const ROLLOUT_EVIDENCE: &str = "perch_rollout_metric_evidence";
const ROLLOUT_ENOUGH: &str = "perch_rollout_metric_evidence_limit";
const ROLLOUT_EXECUTIONS: &str = "perch_rollout_metric_executions";
const ROLLOUT_BAD: &str = "perch_rollout_metric_bad_executions";
const ROLLOUT_FALLBACKS: &str = "perch_rollout_fallbacks_total";
const ROLLOUT_FALLBACKS_LEFT: &str = "perch_rollout_fallbacks_left";
const ROLLOUT_STABLE_FAILING: &str = "perch_rollout_stable_failing";
const ROLLOUT_TRANSITIONS: &str = "perch_rollout_transitions_total";
const ROLLOUT_DEMOTIONS: &str = "perch_rollout_demotions_total";
const STORE_UP: &str = "perch_store_up";
const STORE_SECONDS: &str = "perch_store_duration_seconds";
const STORE_NOTIFICATIONS_LOST: &str = "perch_store_notifications_lost_total";
const FLEET_REPLICAS: &str = "perch_fleet_replicas";
const FLEET_READY: &str = "perch_fleet_replicas_ready";
const FLEET_EVIDENCE_AGE: &str = "perch_fleet_evidence_age_seconds";

pub(super) fn describe() {
    describe_counter!(NOTIFICATIONS, "Attempts to notify, by type and result.");
    describe_gauge!(OUTBOX_PENDING, "Messages about rollouts that have not arrived yet, by queue.");
    describe_counter!(OUTBOX_ATTEMPTS, "Attempts to send messages about rollouts, by queue and result.");
    describe_gauge!(ROLLOUT_STATE, "1 for the state that a model's rollout is in.");
    describe_gauge!(ROLLOUT_WEIGHT, "The canary's weight, percent.");
    describe_gauge!(ROLLOUT_SHARE, "The share of requests that the canary had in the last minute, percent.");
    describe_gauge!(ROLLOUT_STEP, "The step that a rollout is at, from 1; 0 while nothing is tried.");
    describe_gauge!(ROLLOUT_GENERATION, "How often a model's rollout has changed.");
    describe_gauge!(ROLLOUT_VALUE, "What a metric of the canary is: a share of rows, or a ratio to stable's.");
    describe_gauge!(ROLLOUT_LIMIT, "What is allowed of it.");
    describe_gauge!(ROLLOUT_EVIDENCE, "Evidence that a metric is above its limit: log E to the base e.");
    describe_gauge!(ROLLOUT_ENOUGH, "The evidence at which the canary is demoted.");
    describe_gauge!(ROLLOUT_EXECUTIONS, "Executions that a metric has counted.");
    describe_gauge!(ROLLOUT_BAD, "Those of them with bad rows.");
    describe_counter!(ROLLOUT_FALLBACKS, "Requests that stable answered in the canary's place, by reason.");
    describe_gauge!(ROLLOUT_FALLBACKS_LEFT, "Fallbacks that the budget has left.");
    describe_gauge!(ROLLOUT_STABLE_FAILING, "1 while stable passes a limit of its own.");
    describe_counter!(ROLLOUT_TRANSITIONS, "Changes of a rollout's state, by reason.");
    describe_counter!(ROLLOUT_DEMOTIONS, "Canaries taken out by the judge.");
    describe_gauge!(STORE_UP, "1 while rollouts can be stored.");
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "One call of the store that replicas share.");
    describe_counter!(STORE_NOTIFICATIONS_LOST, "Changes of rollouts that were found by looking, and not told.");
    describe_gauge!(FLEET_REPLICAS, "Replicas that share the store and live; 0 while nothing is tried.");
    describe_gauge!(FLEET_READY, "Those of them that have the canary loaded.");
    describe_gauge!(FLEET_EVIDENCE_AGE, "How old the replicas' common evidence is; 0 while nothing is tried.");
}

/// The states that a rollout may be in, as `perch_rollout_state` names them.
const ROLLOUT_STATES: [&str; 7] = ["idle", "progressing", "paused", "suspended", "promoted", "demoted", "aborted"];

/// A model's rollout at one moment.
pub struct Gauges {
    /// Its state's name.
    pub state: &'static str,
    /// The canary's weight, percent.
    pub weight: f64,
    /// The step, from 1.
    pub step: usize,
    /// The generation.
    pub generation: u64,
    /// The canary's share of the last minute's requests, percent.
    pub actual_share: Option<f64>,
    /// Fallbacks that are left.
    pub fallbacks_left: i64,
    /// Whether stable passes its own limits.
    pub stable_failing: bool,
}

/// Sets them.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set(model: &str, gauges: &Gauges) {
    let labels = [("model", model.to_owned())];
    for state in ROLLOUT_STATES {
        let on = f64::from(u8::from(state == gauges.state));
        gauge!(ROLLOUT_STATE, "model" => model.to_owned(), "state" => state).set(on);
    }
    gauge!(ROLLOUT_WEIGHT, &labels).set(gauges.weight);
    gauge!(ROLLOUT_STEP, &labels).set(gauges.step as f64);
    gauge!(ROLLOUT_GENERATION, &labels).set(gauges.generation as f64);
    gauge!(ROLLOUT_STABLE_FAILING, &labels).set(f64::from(u8::from(gauges.stable_failing)));
    gauge!(ROLLOUT_SHARE, &labels).set(gauges.actual_share.unwrap_or(0.0));
    gauge!(ROLLOUT_FALLBACKS_LEFT, &labels).set(gauges.fallbacks_left as f64);
}

/// One metric of a rollout at one moment.
pub struct MetricGauges {
    /// What was observed.
    pub value: f64,
    /// What is allowed.
    pub limit: f64,
    /// Evidence so far.
    pub evidence: f64,
    /// Evidence that demotes.
    pub enough: f64,
    /// Executions counted.
    pub executions: u64,
    /// Those with bad rows.
    pub bad: u64,
}

/// Sets them.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_metric(model: &str, metric: &str, gauges: &MetricGauges) {
    let labels = [("model", model.to_owned()), ("metric", metric.to_owned())];
    gauge!(ROLLOUT_VALUE, &labels).set(gauges.value);
    gauge!(ROLLOUT_LIMIT, &labels).set(gauges.limit);
    gauge!(ROLLOUT_EVIDENCE, &labels).set(gauges.evidence);
    gauge!(ROLLOUT_ENOUGH, &labels).set(gauges.enough);
    gauge!(ROLLOUT_EXECUTIONS, &labels).set(gauges.executions as f64);
    gauge!(ROLLOUT_BAD, &labels).set(gauges.bad as f64);
}

/// A request that stable answered in the canary's place.
pub fn count_fallback(model: &str, reason: &'static str) {
    counter!(ROLLOUT_FALLBACKS, "model" => model.to_owned(), "reason" => reason).increment(1);
}

/// A rollout that went from one state to another.
pub fn count_transition(model: &str, from: &str, to: &str, reason: &'static str) {
    let labels = [("model", model.to_owned()), ("from", from.to_owned()), ("to", to.to_owned())];
    let mut labels = labels.to_vec();
    labels.push(("reason", reason.to_owned()));
    counter!(ROLLOUT_TRANSITIONS, &labels).increment(1);
}

/// A canary that the judge has taken out.
pub fn count_demotion(model: &str) {
    counter!(ROLLOUT_DEMOTIONS, "model" => model.to_owned()).increment(1);
}

/// Whether rollouts can be stored.
pub fn set_store_up(up: bool) {
    gauge!(STORE_UP).set(f64::from(u8::from(up)));
}

/// A model's rollouts are followed: its first demotion is a difference to what was there before.
pub fn begin(model: &str) {
    counter!(ROLLOUT_DEMOTIONS, "model" => model.to_owned()).increment(0);
}

/// Replicas share a store from here on.
pub fn begin_fleet() {
    counter!(STORE_NOTIFICATIONS_LOST).increment(0);
}

/// A call of the store that replicas share.
pub fn store_call(call: &'static str, took: Duration) {
    histogram!(STORE_SECONDS, "call" => call).record(took);
}

/// A change that nobody told.
pub fn count_lost_notification() {
    counter!(STORE_NOTIFICATIONS_LOST).increment(1);
}

/// Replicas of a model's rollout.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_fleet(model: &str, living: usize, ready: usize, evidence_age: Duration) {
    let labels = [("model", model.to_owned())];
    gauge!(FLEET_REPLICAS, &labels).set(living as f64);
    gauge!(FLEET_READY, &labels).set(ready as f64);
    gauge!(FLEET_EVIDENCE_AGE, &labels).set(evidence_age.as_secs_f64());
}

/// An attempt to notify that ended: `sent`, `failed` (it is tried again) or `refused` (it is not).
pub fn count_notification(kind: &'static str, result: &'static str) {
    counter!(NOTIFICATIONS, "type" => kind, "result" => result).increment(1);
}

/// Messages of a queue that have not arrived yet.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn set_outbox_pending(queue: &'static str, pending: u64) {
    gauge!(OUTBOX_PENDING, "queue" => queue).set(pending as f64);
}

/// What became of a message after an attempt: `sent`, `put_off` or `given_up`.
pub fn count_outbox_attempt(queue: &'static str, result: &'static str) {
    counter!(OUTBOX_ATTEMPTS, "queue" => queue, "result" => result).increment(1);
}
