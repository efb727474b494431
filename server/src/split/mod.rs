//! A request of a model that is rolling out: which version runs it ([`pick`]), how that went, and stable where it did not
//! go well ([`attempt`]).

pub mod attempt;
pub mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use perch_models::run::{Answer, InferError, Replies};
use perch_router::policy::HashKey;
use perch_router::track::Track;
use perch_router::weight::Weight;

use self::attempt::took;
use self::work::{Way, unusable};
use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::rollouts::live::{Ended, Local};
use crate::serving::Rollout;

/// Asks for a track.
const TRACK: HeaderName = HeaderName::from_static("x-perch-track");
/// A caller that finds no fallback left may try again after this: by then the canary is out.
const EXHAUSTED: Duration = Duration::from_secs(1);

/// The track that a request asks for by header.
///
/// # Errors
/// When it asks for another.
pub fn asked_for(headers: &HeaderMap) -> Result<Option<Track>, ApiError> {
    let Some(value) = headers.get(TRACK) else { return Ok(None) };
    let found = Track::ALL.into_iter().find(|track| value.as_bytes() == track.name().as_bytes());
    found.map(Some).ok_or_else(|| {
        let got = String::from_utf8_lossy(value.as_bytes()).chars().take(64).collect::<String>();
        ApiError::new(Kind::InvalidInput, format!("header x-perch-track: expected stable or canary, got \"{got}\""))
    })
}

/// Where a request goes.
pub enum Picked {
    /// To stable, as if nothing were tried; counted where it is evidence.
    Stable(Option<OnStable>),
    /// To the canary.
    Canary(ToCanary),
}

/// A request for the canary, as it was routed.
pub struct ToCanary {
    live: Arc<Local>,
    canary: Arc<Served>,
    /// Whether the canary's graph takes what stable's takes.
    same_signature: bool,
    weight: Weight,
    counted: bool,
}

/// Sends a request where its rollout, or its header, wants it to go.
#[must_use]
pub fn pick(rollout: Rollout, headers: &HeaderMap, track: Option<Track>) -> Picked {
    let counted = track.is_none();
    let (picked, weight) = match track {
        Some(track) => (track, rollout.live.weight()),
        None => rollout.live.pick(key(&rollout, headers)),
    };
    let Rollout { live, canary, same_signature, .. } = rollout;
    match canary {
        Some(canary) if picked == Track::Canary && (counted || live.is_open()) => {
            Picked::Canary(ToCanary { live, canary, same_signature, weight, counted })
        }
        _ => Picked::Stable(counted.then_some(OnStable { live, weight })),
    }
}

/// A request on stable that is evidence.
pub struct OnStable {
    live: Arc<Local>,
    /// The canary's weight as it was routed.
    weight: Weight,
}

/// The same on its way.
pub struct Submitted {
    on: OnStable,
    rows: u32,
    at: Instant,
}

impl OnStable {
    /// It is submitted now.
    #[must_use]
    pub fn submitted(self, rows: u32, way: &Way) -> Submitted {
        Submitted { on: self, rows, at: way.submitted() }
    }
}

impl Submitted {
    /// It has ended.
    pub fn ended(&self, result: Result<&[Answer], &InferError>, way: &Way) {
        let bad = match result {
            Ok(answers) => unusable(answers).min(self.rows),
            Err(InferError::Failed(_) | InferError::InvalidOutput(_) | InferError::Timeout) => self.rows,
            // Not the version's doing.
            Err(InferError::InvalidInput(_) | InferError::Overloaded { .. } | InferError::Unloaded) => return,
        };
        let took = took(result.unwrap_or_default().iter(), way, self.at);
        self.on.live.stable_ended(self.on.weight, Ended { rows: self.rows, bad, each: self.rows, took });
    }

    /// Its texts have ended, or the time was up.
    pub fn texts_ended(&self, replies: Option<&Replies>, way: &Way) {
        let Some(replies) = replies else {
            // A request is late once.
            let took = self.at.elapsed();
            return self.on.live.stable_ended(self.on.weight, Ended { rows: self.rows, bad: 1, each: 1, took });
        };
        let mut bad = 0;
        for reply in replies.iter().flatten() {
            match &reply.result {
                Ok(answer) => bad += u32::from(!answer.is_finite()),
                Err(InferError::Failed(_) | InferError::InvalidOutput(_) | InferError::Timeout) => bad += 1,
                Err(InferError::InvalidInput(_) | InferError::Overloaded { .. } | InferError::Unloaded) => return,
            }
        }
        let took = took(replies.iter().flatten().filter_map(|reply| reply.result.as_ref().ok()), way, self.at);
        self.on.live.stable_ended(self.on.weight, Ended { rows: self.rows, bad, each: 1, took });
    }
}

fn key<'k>(rollout: &'k Rollout, headers: &'k HeaderMap) -> Option<&'k [u8]> {
    match rollout.live.hash_key()? {
        HashKey::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
        HashKey::Field(_) => rollout.key.as_deref().map(str::as_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tracks_can_be_asked_for() {
        let with = |value: &'static str| HeaderMap::from_iter([(TRACK, http::HeaderValue::from_static(value))]);
        assert_eq!(asked_for(&HeaderMap::new()).expect("none"), None);
        assert_eq!(asked_for(&with("canary")).expect("right"), Some(Track::Canary));
        assert_eq!(asked_for(&with("stable")).expect("right"), Some(Track::Stable));
        let error = asked_for(&with("blue")).expect_err("no such track");
        assert_eq!(error.message, "header x-perch-track: expected stable or canary, got \"blue\"");
    }
}
