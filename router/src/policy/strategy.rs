//! `strategy`: the steps to all traffic.

use serde::{Deserialize, Serialize};

use super::{SmokeTests, Span, Unsupported, preset};
use crate::weight::Weight;

/// Exactly one of its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Strategy {
    /// Step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// All at once, after smoke tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    /// Copies of stable's requests: not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Unsupported>,
}

/// Step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// In this order.
    pub steps: Vec<Step>,
    /// Requests that have to be answered well before the first step.
    #[serde(default, skip_serializing_if = "SmokeTests::is_off")]
    pub smoke_tests: SmokeTests,
    /// How long the old version stays loaded after promotion, ready to go back to.
    #[serde(default = "ten_minutes")]
    pub scale_down_delay: Span,
}

/// All at once: smoke tests at weight zero, then 100 %, watched for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BlueGreen {
    /// Requests that have to be answered well before the first one of a caller.
    pub smoke_tests: SmokeTests,
    /// Whether it goes on without being told to.
    pub auto_promote: bool,
    /// How long the new version is watched before the alias moves.
    pub watch: Span,
    /// How long the old version stays loaded after promotion, ready to go back to.
    pub scale_down_delay: Span,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self { smoke_tests: SmokeTests::Own, auto_promote: true, watch: ten_minutes(), scale_down_delay: ten_minutes() }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// The canary's share of requests from here on, in percent.
    SetWeight(Weight),
    /// Time for evidence.
    Pause(Pause),
    /// The canary has to be shown to be good.
    Gate(GateStep),
    /// The canary becomes stable.
    Promote(Promote),
    /// Copies of stable's requests: not supported yet.
    Shadow(Unsupported),
}

/// Time for evidence. Without a duration: until somebody resumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pause {
    /// How long, while evidence arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Executions of the canary that this step needs besides.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_executions: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde takes")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The canary has to be shown to be good, by executions since its weight was last set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateStep {
    /// In each of these metrics.
    pub metrics: Vec<String>,
    /// How surely.
    #[serde(default = "confidence")]
    pub confidence: f64,
    /// What happens while too little arrives to decide.
    #[serde(default)]
    pub on_inconclusive: OnInconclusive,
    /// How long `extend` waits; then it pauses.
    #[serde(default = "half_an_hour")]
    pub max_extend: Span,
}

/// What happens while too little arrives to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnInconclusive {
    /// It goes on, up to `maxExtend`.
    #[default]
    Extend,
    /// Somebody has to look.
    Pause,
    /// The canary is taken out.
    Abort,
}

/// The canary becomes stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Promote {
    /// Whether the registry's aliases move too.
    pub move_alias: bool,
}

impl Default for Promote {
    fn default() -> Self {
        Self { move_alias: true }
    }
}

/// What the state machine goes by: a strategy as steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// In this order; the last is a promotion.
    pub steps: Vec<Step>,
    /// How long the old version stays loaded after promotion.
    pub scale_down_delay: Span,
    /// Requests that have to be answered well before the first step.
    pub smoke_tests: SmokeTests,
}

impl Strategy {
    /// Its steps. A promotion is always the last one, also where nobody wrote it.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let (mut steps, scale_down_delay, smoke_tests) = match (&self.canary, &self.blue_green) {
            (Some(canary), _) => (canary.steps.clone(), canary.scale_down_delay, canary.smoke_tests.clone()),
            (None, Some(blue_green)) => {
                (blue_green.steps(), blue_green.scale_down_delay, blue_green.smoke_tests.clone())
            }
            (None, None) => (preset::phased_steps(), ten_minutes(), SmokeTests::Off),
        };
        if !matches!(steps.last(), Some(Step::Promote(_))) {
            steps.push(Step::Promote(Promote::default()));
        }
        Plan { steps, scale_down_delay, smoke_tests }
    }

    /// Of these steps, by their canary.
    pub(super) fn canary(steps: Vec<Step>) -> Self {
        let canary = Canary { steps, smoke_tests: SmokeTests::Off, scale_down_delay: ten_minutes() };
        Self { canary: Some(canary), blue_green: None, shadow: None }
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self::canary(preset::phased_steps())
    }
}

impl BlueGreen {
    fn steps(&self) -> Vec<Step> {
        let wait = (!self.auto_promote).then(|| Step::Pause(Pause::default()));
        let watch = Pause { duration: Some(self.watch), min_executions: 0 };
        wait.into_iter().chain([Step::SetWeight(Weight::FULL), Step::Pause(watch)]).collect()
    }
}

const fn ten_minutes() -> Span {
    Span::mins(10)
}

const fn half_an_hour() -> Span {
    Span::mins(30)
}

const fn confidence() -> f64 {
    0.95
}
