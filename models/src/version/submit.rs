//! Requests on their way into a version: tensors to a lane or a worker, texts to a worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Mode, ModelVersion};
use crate::run::flight::{Cell, Followed};
use crate::run::home::Home;
use crate::run::job::{Input, Job};
use crate::run::pending::Waiting;
use crate::run::{Answer, Follow, InferError, Pending, Text};
use crate::tensor::Tensor;

/// No single inline run is expected to hold its reactor longer than this; larger requests go to the workers.
const INLINE_MOST: Duration = Duration::from_micros(500);

impl ModelVersion {
    /// Runs one request's rows, on the lane of `reactor` or on a worker.
    ///
    /// `inputs` are in the signature's order and were [checked](crate::signature::Signature::check); `arrived` is when
    /// the request did.
    ///
    /// # Errors
    /// See [`InferError`].
    pub async fn infer(
        &self,
        reactor: usize,
        inputs: Vec<Tensor>,
        arrived: Instant,
        deadline: Instant,
    ) -> Result<Answer, InferError> {
        let mut pending = self.submit(reactor, inputs, arrived, deadline, None)?;
        let reply = pending.until(deadline).await.and_then(|mut replies| replies.pop().flatten());
        reply.map_or(Err(InferError::Timeout), |reply| reply.result)
    }

    /// The same as two steps, for whoever has something to do while the request is on its way; `follow` hears of its
    /// execution, and takes that moment for the beginning.
    ///
    /// # Errors
    /// When the inputs do not belong together.
    pub fn submit(
        &self,
        reactor: usize,
        inputs: Vec<Tensor>,
        arrived: Instant,
        deadline: Instant,
        follow: Option<(Arc<dyn Follow>, Instant)>,
    ) -> Result<Pending, InferError> {
        let rows = self.rows(&inputs)?;
        let (reply, told) = oneshot::channel();
        let (input, pool) = (Input::Tensors(inputs), self.shared.pool.clone());
        match self.lanes.get(reactor) {
            Some(lane) if self.mode() == Mode::Inline && self.cost().estimate(rows) <= INLINE_MOST => {
                let followed = follow.map(|follow| Followed::new(follow, None));
                lane.submit(Job { input, rows, arrived, deadline, reply, followed, home: None });
                Ok(Pending::one(Waiting::inline(told), pool))
            }
            _ => {
                let cell = follow.is_some().then(Arc::<Cell>::default);
                let followed = follow.map(|follow| Followed::new(follow, cell.clone()));
                let home = Home::here(reactor);
                pool.push([Job { input, rows, arrived, deadline, reply, followed, home }]);
                Ok(Pending::one(Waiting::for_worker(told, cell), pool))
            }
        }
    }

    /// Sends texts on their way, each of which is answered by itself: [`Text::want`] says with what. They were encoded
    /// for [this version](ModelVersion::text).
    #[must_use]
    pub fn submit_texts(
        &self,
        reactor: usize,
        texts: Vec<Text>,
        arrived: Instant,
        deadline: Instant,
        follow: Option<&(Arc<dyn Follow>, Instant)>,
    ) -> Pending {
        let mut waiting = SmallVec::with_capacity(texts.len());
        let mut jobs = Vec::with_capacity(texts.len());
        let home = Home::here(reactor);
        // The longest is run last, mostly.
        let timed = texts.iter().enumerate().max_by_key(|(_, text)| text.sequence.len()).map_or(0, |(place, _)| place);
        for (place, text) in texts.into_iter().enumerate() {
            let (reply, told) = oneshot::channel();
            let cell = follow.is_some().then(Arc::<Cell>::default);
            let followed =
                follow.map(|follow| Followed { timed: place == timed, ..Followed::new(follow.clone(), cell.clone()) });
            waiting.push(Waiting::for_worker(told, cell));
            let (input, home) = (Input::Text(Box::new(text)), home.clone());
            jobs.push(Job { input, rows: 1, arrived, deadline, reply, followed, home });
        }
        let pool = self.shared.pool.clone();
        pool.push(jobs);
        Pending::many(waiting, timed, pool)
    }

    /// Why a request that came now would be refused, if it would be.
    #[must_use]
    pub fn is_full(&self) -> Option<InferError> {
        self.shared.pool.is_full()
    }

    /// Rows of a request. Where rows are stacked, all inputs must have the same number.
    fn rows(&self, inputs: &[Tensor]) -> Result<usize, InferError> {
        let rows = inputs.first().map_or(1, Tensor::rows);
        let odd = inputs.iter().zip(&self.signature.inputs).find(|(tensor, _)| tensor.rows() != rows);
        match odd {
            Some((tensor, spec)) if self.profile.stacks => Err(InferError::InvalidInput(format!(
                "input \"{}\" has {} rows, but input \"{}\" has {rows}",
                spec.name,
                tensor.rows(),
                self.signature.inputs[0].name
            ))),
            _ => Ok(rows),
        }
    }
}
