//! What a request brings along: how it is made ready for a version, and sent on its way through it.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use perch_models::run::{Answer, Follow, InferError, Pending, Replies};
use smallvec::SmallVec;

use crate::catalog::Served;
use crate::error::ApiError;
use crate::serving::Serving;

/// The answers of one request: one, or one for each of its texts.
pub type Answers = SmallVec<[Answer; 1]>;

/// A request, ready for one version.
pub trait Work: Sized + Send + Sync {
    /// What it was made from, and is made from again for another version.
    type Source: Sync;

    /// Makes it ready for `served`.
    ///
    /// # Errors
    /// What is wrong with it for that version.
    fn make(
        source: &Self::Source,
        serving: &Serving,
        served: &Arc<Served>,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// The same for `served`, where that takes the same; `same_signature` says whether its graph does.
    fn readdressed(self, served: &Arc<Served>, same_signature: bool) -> Option<Self>;

    /// The version that it is ready for.
    fn served(&self) -> &Arc<Served>;

    /// Its rows, as its version counts them.
    fn rows(&self) -> u32;

    /// Looks up what its version has answered before; all answers, where nothing is left to be run.
    fn recall(&mut self) -> Option<Answers>;

    /// All answers, once those that were left have been run; these are kept for others.
    fn settle(&mut self, ran: Answers) -> Answers;

    /// Sends what is left of it on its way. Only once.
    ///
    /// # Errors
    /// When it does not belong together.
    fn submit(&mut self, way: &Way, follow: Option<(Arc<dyn Follow>, Instant)>) -> Result<Pending, InferError>;
}

/// Where and until when a request runs.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// The reactor that it is on.
    pub reactor: usize,
    /// When it came.
    pub arrived: Instant,
    /// Since when it has been ready to run, where that is known without asking the clock.
    pub ready: Option<Instant>,
    /// From when on nobody waits for it.
    pub deadline: Instant,
}

impl Way {
    /// Since when a version has had the request, one that is submitted now.
    #[must_use]
    pub fn submitted(&self) -> Instant {
        self.ready.unwrap_or_else(Instant::now)
    }
}

/// All answers of a request, or its first failure.
///
/// # Errors
/// That failure.
pub fn answers(replies: Replies) -> Result<Answers, InferError> {
    // What was given up has another before it that failed.
    replies.into_iter().flatten().map(|reply| reply.result).collect()
}

/// Waits for all answers of a request until `deadline`.
///
/// # Errors
/// Its first failure, or that the time is up.
pub async fn all(mut pending: Pending, deadline: Instant) -> Result<Answers, InferError> {
    answers(pending.until(deadline).await.ok_or(InferError::Timeout)?)
}

/// How many rows hold a NaN or an infinity. A text is one row, however many tokens are wanted of it.
#[must_use]
pub fn unusable(answers: &[Answer]) -> u32 {
    match answers {
        [answer] => count(answer.unusable_rows()),
        answers => count(answers.iter().filter(|answer| !answer.is_finite()).count()),
    }
}

/// A number of rows.
#[must_use]
pub fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
