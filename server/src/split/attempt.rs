//! A request on the canary: how that went, and stable where it did not go well.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use perch_models::run::{Answer, Dispatched, Follow, InferError, Part, Pending, Replies};
use perch_router::weight::Weight;
use smallvec::SmallVec;

use super::work::{Answers, Way, Work, all, answers, count, unusable};
use super::{EXHAUSTED, ToCanary};
use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::rollouts::live::{CanaryFlight, Elsewhere, Ended, Fault, Local, Why};
use crate::serving::{Failed, Serving};

/// A request that was run, wherever.
pub struct Done<W> {
    /// The request, ready for the version that has answered.
    pub work: W,
    /// What it gave.
    pub answers: Answers,
    /// Why stable has answered in the canary's place, where it did.
    pub fallback: Option<Why>,
}

/// Runs a request on the canary. `ready` is what was made of `source` already, for whichever version.
///
/// Boxed: not every request has to have room for it. What tensors need, which are ready, is small and is all in one place:
/// the argument of an `async fn` would be kept twice.
///
/// # Errors
/// What stable fails with; of the canary only what nobody else answers.
pub fn run<'a, W: Work + 'a>(
    serving: &'a Serving,
    way: Way,
    picked: ToCanary,
    (source, ready): (&'a W::Source, Option<W>),
) -> BoxFuture<'a, Result<Done<W>, Failed>> {
    let ToCanary { live, canary, same_signature, weight, counted } = picked;
    let attempt = Attempt { serving, way, source, live, weight, counted };
    match ready.and_then(|work| work.readdressed(&canary, same_signature)) {
        Some(work) => Box::pin(attempt.on_canary(work)),
        None => Box::pin(attempt.anew(canary)),
    }
}

/// One request under a rollout.
struct Attempt<'a, W: Work> {
    serving: &'a Serving,
    way: Way,
    source: &'a W::Source,
    live: Arc<Local>,
    /// The canary's weight as it was routed.
    weight: Weight,
    /// Whether it is evidence: what asks for a track by header is not.
    counted: bool,
}

/// How the canary failed a request.
struct Failure {
    why: Why,
    /// Whether it may still answer: nobody has waited any longer.
    late: bool,
    /// It says that the input is wrong, after so long: a failure only where stable takes it.
    refused: Option<Duration>,
    /// What went badly of it.
    parts: Bad,
    /// What the caller gets where stable is not asked.
    own: Result<Answers, ApiError>,
}

/// Parts of executions that went badly, and how many rows of each did.
type Bad = SmallVec<[(Part, u32); 1]>;

impl Failure {
    /// Of a canary that has answered.
    fn at_once(why: Why, refused: Option<Duration>, parts: Bad, own: Result<Answers, ApiError>) -> Box<Self> {
        Box::new(Self { why, late: false, refused, parts, own })
    }
}

impl<'a, W: Work + 'a> Attempt<'a, W> {
    #[expect(clippy::manual_async_fn, reason = "what an async fn is given is kept twice")]
    fn on_canary(self, mut work: W) -> impl Future<Output = Result<Done<W>, Failed>> + Send + 'a {
        async move {
            // What is not executed is no evidence.
            if let Some(answers) = work.recall() {
                return Ok(Done { work, answers, fallback: None });
            }
            let rows = work.rows();
            let submitted = Instant::now();
            let follow = self.counted.then(|| (Arc::clone(&self.live) as Arc<dyn Follow>, submitted));
            let failure = match work.submit(&self.way, follow) {
                Ok(mut pending) => match self.wait(&mut pending, submitted, rows).await {
                    Ok(answers) => {
                        let answers = work.settle(answers);
                        return Ok(Done { work, answers, fallback: None });
                    }
                    Err(failure) => failure,
                },
                Err(error) => {
                    let (parts, own) = (self.dispatched(rows), Err(error.into()));
                    Failure::at_once(Why::Error, Some(submitted.elapsed()), parts, own)
                }
            };
            // Rare, and large.
            let served = work.served().clone();
            Box::pin(self.fall_back((Some(work), served), failure, (rows, None))).await
        }
    }

    /// Makes the request ready for the canary first.
    async fn anew(self, canary: Arc<Served>) -> Result<Done<W>, Failed> {
        match W::make(self.source, self.serving, &canary).await {
            Ok(work) => self.on_canary(work).await,
            Err(error) if error.kind.is_of_input() => Box::pin(self.refused(canary)).await,
            // A full queue, say: not what the canary does with this request.
            Err(error) => {
                let failure = Failure::at_once(Why::Error, None, Bad::new(), Err(error));
                Box::pin(self.fall_back((None, canary), failure, (0, None))).await
            }
        }
    }

    /// A request that the canary does not take; if stable does, that is the canary's fault.
    async fn refused(&self, canary: Arc<Served>) -> Result<Done<W>, Failed> {
        let stable = self.for_stable(&canary).await.map_err(|error| (error, Some(canary.clone())))?;
        let rows = stable.rows();
        let version = canary.version;
        let own = Err(ApiError::new(Kind::ModelFailed, format!("version {version} does not take this input")));
        let failure = Failure::at_once(Why::Error, None, self.dispatched(rows), own);
        self.fall_back((None, canary), failure, (rows, Some(stable))).await
    }

    /// An execution that never came to be, for the judge.
    fn dispatched(&self, rows: u32) -> Bad {
        let what = Dispatched { rows, parts: 1, requests: 1, timed: rows };
        let part = || Part { flight: Arc::clone(&self.live).dispatched(what), index: 0, rows, timed: true };
        self.counted.then(|| (part(), rows)).into_iter().collect()
    }

    /// Waits for the canary, and tells the judge when that takes long.
    async fn wait(&self, pending: &mut Pending, submitted: Instant, rows: u32) -> Result<Answers, Box<Failure>> {
        let deadline = self.way.deadline;
        let mut waited = Duration::ZERO;
        let replies = loop {
            let mark = self.live.next_mark(waited);
            let until = mark.map_or(deadline, |mark| deadline.min(submitted + mark));
            if let Some(replies) = pending.until(until).await {
                break replies;
            }
            waited = submitted.elapsed();
            tell(pending.timed().as_ref(), waited);
            let late = self.live.falls_back.timeout && waited >= self.live.after;
            if late || Instant::now() >= deadline {
                self.ended(rows, rows, waited);
                let late = Instant::now() < deadline;
                // A request is late once, however many executions its texts are in.
                let parts = pending.unfinished().into_iter().map(|part| (part.clone(), part.rows)).collect();
                let own = Err(InferError::Timeout.into());
                return Err(Box::new(Failure { why: Why::Timeout, late, refused: None, parts, own }));
            }
        };
        let took = took(replies.iter().flatten().filter_map(|reply| reply.result.as_ref().ok()), &self.way, submitted);
        let mut parts = replies.iter().flatten().filter_map(|reply| reply.part.as_ref());
        tell(parts.find(|part| part.timed), took);
        self.judged(replies, rows, took)
    }

    /// What became of the jobs of a request, all told.
    fn judged(&self, replies: Replies, rows: u32, took: Duration) -> Result<Answers, Box<Failure>> {
        let alone = replies.len() == 1;
        let mut parts = SmallVec::new();
        for reply in replies.iter().flatten() {
            let bad = match &reply.result {
                Ok(answer) if answer.is_finite() => 0,
                Ok(answer) if alone => count(answer.unusable_rows()).min(rows),
                // A full queue and a version on its way out are not what it does with this request.
                Err(InferError::Overloaded { .. } | InferError::Unloaded) => 0,
                Ok(_) | Err(_) => reply.part.as_ref().map_or(0, |part| part.rows),
            };
            if bad > 0 {
                parts.extend(reply.part.clone().map(|part| (part, bad)));
            }
        }
        match answers(replies) {
            Ok(answers) if answers.iter().all(Answer::is_finite) => {
                self.ended(rows, 0, took);
                Ok(answers)
            }
            Ok(answers) => {
                self.ended(rows, unusable(&answers).min(rows), took);
                Err(Failure::at_once(Why::InvalidOutput, None, parts, Ok(answers)))
            }
            Err(error) => {
                let why = match error {
                    InferError::Timeout => Why::Timeout,
                    InferError::InvalidOutput(_) => Why::InvalidOutput,
                    _ => Why::Error,
                };
                let own_doing = !matches!(error, InferError::Overloaded { .. } | InferError::Unloaded);
                let refused = matches!(error, InferError::InvalidInput(_)).then_some(took);
                if own_doing && refused.is_none() {
                    self.ended(rows, rows, took);
                }
                Err(Failure::at_once(why, refused, parts, Err(error.into())))
            }
        }
    }

    fn ended(&self, rows: u32, bad: u32, took: Duration) {
        if self.counted {
            self.live.canary_ended(Ended { rows, bad, each: rows, took });
        }
    }

    /// Stable answers in the canary's place, where it may; the judge hears whether it could.
    async fn fall_back(
        &self,
        (work, served): (Option<W>, Arc<Served>),
        failure: Box<Failure>,
        (rows, stable): (u32, Option<W>),
    ) -> Result<Done<W>, Failed> {
        let Failure { why, late, refused, parts, own } = *failure;
        for ((flight, part), of, bad) in parts.iter().filter_map(|(part, bad)| Some((flight(part)?, part.rows, *bad))) {
            if !late || flight.late_is_error() {
                flight.fault(part, of, Fault { rows: bad, weight: self.weight.share() });
            }
        }
        let told = |elsewhere: Elsewhere| {
            for ((flight, part), of) in parts.iter().filter_map(|(part, _)| Some((flight(part)?, part.rows))) {
                flight.elsewhere(part, of, elsewhere);
            }
        };
        let not_asked = || if refused.is_some() { Elsewhere::Refused } else { self.live.not_asked() };
        let allowed = match why {
            Why::Error => self.live.falls_back.error,
            Why::Timeout => self.live.falls_back.timeout,
            Why::InvalidOutput => self.live.falls_back.invalid_output,
        };
        if !allowed {
            told(not_asked());
            return match (own, work) {
                (Ok(answers), Some(mut work)) => {
                    let answers = work.settle(answers);
                    Ok(Done { work, answers, fallback: None })
                }
                (Ok(_), None) => Err((InferError::Unloaded.into(), Some(served))),
                (Err(error), _) => Err((error, Some(served))),
            };
        }
        if !self.live.budget.take() {
            told(not_asked());
            let message =
                format!("the canary failed ({}), and too many requests have fallen back to stable", why.name());
            return Err((ApiError::new(Kind::FallbackExhausted, message).retry_after(EXHAUSTED), Some(served)));
        }
        told(Elsewhere::Asked);
        let made = match stable {
            Some(stable) => Ok(stable),
            None => self.for_stable(&served).await,
        };
        let stable = match made {
            Ok(stable) => stable,
            // Written for the canary, by whoever asked for it: what that says of it is all there is to say.
            Err(error) => return Err((own.err().unwrap_or(error), Some(served))),
        };
        match self.ask_stable(stable).await {
            Ok((work, answers)) => {
                if let Some(took) = refused {
                    self.ended(rows, rows, took);
                }
                let finite = answers.iter().all(Answer::is_finite);
                told(if finite { Elsewhere::Worked } else { Elsewhere::FailedToo });
                self.live.fell_back(why);
                Ok(Done { work, answers, fallback: Some(why) })
            }
            Err((error, served)) => {
                told(match error.kind {
                    Kind::Overloaded => not_asked(),
                    Kind::InvalidInput if refused.is_some() => Elsewhere::Refused,
                    _ => Elsewhere::FailedToo,
                });
                Err((error, served))
            }
        }
    }

    /// The request as stable takes it.
    async fn for_stable(&self, canary: &Served) -> Result<W, ApiError> {
        let stable = self.serving.catalog.load().stable(Some(&canary.model))?.clone();
        W::make(self.source, self.serving, &stable).await
    }

    async fn ask_stable(&self, mut work: W) -> Result<(W, Answers), Failed> {
        if let Some(answers) = work.recall() {
            return Ok((work, answers));
        }
        let answers = match work.submit(&self.way, None) {
            Ok(pending) => all(pending, self.way.deadline).await,
            Err(error) => Err(error),
        };
        match answers {
            Ok(answers) => {
                let answers = work.settle(answers);
                Ok((work, answers))
            }
            Err(error) => Err((error.into(), Some(work.served().clone()))),
        }
    }
}

/// From submission to the end of the last run, where it was run: that is known, and asking the clock takes as long as all
/// the counting.
pub(super) fn took<'a>(answers: impl Iterator<Item = &'a Answer>, way: &Way, submitted: Instant) -> Duration {
    match answers.map(|answer| answer.queued + answer.executed).max() {
        Some(last) => (way.arrived + last).saturating_duration_since(submitted),
        None => submitted.elapsed(),
    }
}

/// Tells the judge how long a request has taken.
fn tell(timed: Option<&Part>, took: Duration) {
    if let Some(part) = timed
        && let Some((flight, index)) = flight(part)
    {
        flight.took(index, part.rows, took);
    }
}

/// The flight of a part, and the part's number in it.
fn flight(part: &Part) -> Option<(&CanaryFlight, u32)> {
    let any: &dyn Any = part.flight.as_ref();
    any.downcast_ref::<CanaryFlight>().map(|flight| (flight, part.index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::Parsed;

    const fn future_of<'a, F>(_: &impl Fn(Attempt<'a, Parsed>, Parsed) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_on_the_canary_is_quickly_allocated() {
        let bytes = future_of(&Attempt::<Parsed>::on_canary);
        assert!(bytes <= 1024, "{bytes} bytes: the allocator is faster at small ones");
    }
}
