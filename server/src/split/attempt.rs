//! A request on the canary: how that went, and stable where it did not go well.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::Either;
use perch_models::run::{Answer, Dispatched, Follow, InferError, Part, Pending, Replies, Reply};
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

impl<W: Work> Done<W> {
    /// Of a version that has run it, without another's help.
    fn by_itself(mut work: W, ran: Answers) -> Self {
        let answers = work.settle(ran);
        Self { work, answers, fallback: None }
    }
}

/// Runs a request on the canary. `ready` is what was made of `source` already, for whichever version.
///
/// What tensors need that end well lies where the caller's future does, and is small; everything else is boxed. What is
/// given is all in one place: the argument of an `async fn` would be kept twice.
///
/// # Errors
/// What stable fails with; of the canary only what nobody else answers.
pub fn run<'a, W: Work + 'a>(
    serving: &'a Serving,
    way: Way,
    picked: ToCanary,
    (source, ready): (&'a W::Source, Option<W>),
) -> impl Future<Output = Result<Done<W>, Failed>> + Send + 'a {
    let ToCanary { live, canary, same_signature, weight, counted } = picked;
    let attempt = Attempt { serving, way, source, live, weight, counted };
    match ready.and_then(|work| work.readdressed(&canary, same_signature)) {
        Some(work) => Either::Left(attempt.on_canary(work)),
        None => Either::Right(Box::pin(attempt.anew(canary))),
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

/// An execution of the canary that a request waits for.
#[derive(Clone, Copy)]
struct Tried {
    rows: u32,
    submitted: Instant,
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
            let tried = Tried { rows: work.rows(), submitted: self.way.submitted() };
            let follow = self.counted.then(|| (Arc::clone(&self.live) as Arc<dyn Follow>, tried.submitted));
            let mut pending = match work.submit(&self.way, follow) {
                Ok(pending) => pending,
                Err(error) => return Box::pin(self.not_taken(work, error, tried)).await,
            };
            let Some(replies) = pending.until(self.next_mark(&tried, Duration::ZERO)).await else {
                return Box::pin(self.late(work, pending, tried)).await;
            };
            match self.heard(replies, &tried) {
                Ok(answers) => Ok(Done::by_itself(work, answers)),
                Err(failure) => Box::pin(self.fall_back_from(work, failure, tried)).await,
            }
        }
    }

    /// The canary does not even take it.
    async fn not_taken(self, work: W, error: InferError, tried: Tried) -> Result<Done<W>, Failed> {
        let (parts, own) = (self.dispatched(tried.rows), Err(error.into()));
        let failure = Failure::at_once(Why::Error, Some(tried.submitted.elapsed()), parts, own);
        self.fall_back_from(work, failure, tried).await
    }

    /// Goes on waiting for the canary from mark to mark, for as long as anybody does.
    async fn late(self, work: W, mut pending: Pending, tried: Tried) -> Result<Done<W>, Failed> {
        let Tried { rows, submitted } = tried;
        let replies = loop {
            let waited = submitted.elapsed();
            tell(pending.timed().as_ref(), waited);
            let now = Instant::now();
            let late = self.live.falls_back.timeout && waited >= self.live.after;
            if late || now >= self.way.deadline {
                self.ended(rows, rows, waited);
                let late = now < self.way.deadline;
                // A request is late once, however many executions its texts are in.
                let parts = pending.unfinished().into_iter().map(|part| (part.clone(), part.rows)).collect();
                let own = Err(InferError::Timeout.into());
                let failure = Box::new(Failure { why: Why::Timeout, late, refused: None, parts, own });
                return self.fall_back_from(work, failure, tried).await;
            }
            if let Some(replies) = pending.until(self.next_mark(&tried, waited)).await {
                break replies;
            }
        };
        match self.heard(replies, &tried) {
            Ok(answers) => Ok(Done::by_itself(work, answers)),
            Err(failure) => self.fall_back_from(work, failure, tried).await,
        }
    }

    /// Until when it is waited for, after `waited`.
    fn next_mark(&self, tried: &Tried, waited: Duration) -> Instant {
        let mark = self.live.next_mark(waited);
        mark.map_or(self.way.deadline, |mark| self.way.deadline.min(tried.submitted + mark))
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

    /// What came of it, which the judge is told.
    fn heard(&self, replies: Replies, tried: &Tried) -> Result<Answers, Box<Failure>> {
        let &Tried { rows, submitted } = tried;
        let took = took(replies.iter().flatten().filter_map(|reply| reply.result.as_ref().ok()), &self.way, submitted);
        let mut parts = replies.iter().flatten().filter_map(|reply| reply.part.as_ref());
        tell(parts.find(|part| part.timed), took);
        let well = |reply: &Reply| reply.result.as_ref().is_ok_and(Answer::is_finite);
        if replies.iter().flatten().all(well) {
            self.ended(rows, 0, took);
            return Ok(replies.into_iter().flatten().filter_map(|reply| reply.result.ok()).collect());
        }
        Err(self.judged(replies, rows, took))
    }

    /// What went wrong with the jobs of a request, all told.
    #[cold]
    fn judged(&self, replies: Replies, rows: u32, took: Duration) -> Box<Failure> {
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
            Ok(answers) => {
                self.ended(rows, unusable(&answers).min(rows), took);
                Failure::at_once(Why::InvalidOutput, None, parts, Ok(answers))
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
                Failure::at_once(why, refused, parts, Err(error.into()))
            }
        }
    }

    fn ended(&self, rows: u32, bad: u32, took: Duration) {
        if self.counted {
            self.live.canary_ended(Ended { rows, bad, each: rows, took });
        }
    }

    async fn fall_back_from(self, work: W, failure: Box<Failure>, tried: Tried) -> Result<Done<W>, Failed> {
        let served = work.served().clone();
        self.fall_back((Some(work), served), failure, (tried.rows, None)).await
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
                (Ok(answers), Some(work)) => Ok(Done::by_itself(work, answers)),
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
                // First: what is told may end the rollout, and with it the counting.
                self.live.fell_back(why);
                let finite = answers.iter().all(Answer::is_finite);
                told(if finite { Elsewhere::Worked } else { Elsewhere::FailedToo });
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
