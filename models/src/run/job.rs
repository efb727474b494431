//! One piece of a request on its way through a model: the rows of its tensors, or one of its texts.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::answer::{Answer, InferError, Reply};
use super::flight::{Cell, Dispatched, Flight, Followed, Part};
use super::home::Home;
use crate::tensor::Tensor;
use crate::text::{Sequence, Want};

/// What a request is told while it waits.
pub(crate) enum Told {
    /// It has ended.
    Done(Reply),
    /// It was to run inline, and waits for a worker now.
    Moved(oneshot::Receiver<Told>, Option<Arc<Cell>>),
}

/// A text, encoded, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its tokens.
    pub sequence: Sequence,
    /// What is made of the model's outputs.
    pub want: Want,
}

/// What is run.
#[derive(Debug)]
pub(crate) enum Input {
    /// Tensors, in the signature's order.
    Tensors(Vec<Tensor>),
    /// A text, which becomes one row.
    Text(Box<Text>),
}

/// One piece of a request, waiting.
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) rows: usize,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Told>,
    pub(crate) followed: Option<Followed>,
    /// The reactor that waits for it, if it waits for a worker.
    pub(crate) home: Option<Arc<Home>>,
}

impl Job {
    /// Answers; where the client is gone, whoever follows the execution hears how it ended.
    pub(crate) fn answer(mut self, result: Result<Answer, InferError>) {
        let followed = self.followed.take();
        let submitted = followed.as_ref().filter(|followed| !followed.is_given_up()).map(|followed| followed.submitted);
        let part = followed.and_then(|followed| followed.part);
        let unheard = self.reply.send(Told::Done(Reply { result, part }));
        if let (Err(Told::Done(Reply { result, part: Some(part) })), Some(submitted)) = (unheard, submitted) {
            part.flight.abandoned(part.index, part.rows, submitted.elapsed(), result.as_ref());
        }
    }

    /// Ends one that was never run. Where the client is gone that says nothing of the version.
    pub(crate) fn drop_unrun(self) {
        if !self.reply.is_closed() {
            self.answer(Err(InferError::Timeout));
        }
    }

    /// Goes on as a job for a worker; none where the client is gone.
    pub(crate) fn moved(mut self) -> Option<Self> {
        let (reply, answer) = oneshot::channel();
        let cell = self.followed.is_some().then(Arc::<Cell>::default);
        if let Some(followed) = &mut self.followed {
            (followed.cell, followed.part) = (cell.clone(), None);
        }
        let before = std::mem::replace(&mut self.reply, reply);
        before.send(Told::Moved(answer, cell)).is_ok().then_some(self)
    }

    /// False when its client is gone or its deadline has passed.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && now < self.deadline
    }

    /// True when the rows of `other` may stand behind the rows of this one.
    pub(crate) fn stacks_with(&self, other: &Self) -> bool {
        match (&self.input, &other.input) {
            (Input::Tensors(one), Input::Tensors(two)) => one.iter().zip(two).all(|(one, two)| one.stacks_with(two)),
            (Input::Text(_), Input::Text(_)) => true,
            _ => false,
        }
    }

    /// Its text, where it is one.
    pub(crate) fn text(&self) -> Option<&Text> {
        match &self.input {
            Input::Text(text) => Some(text),
            Input::Tensors(_) => None,
        }
    }

    /// Whether `cell` is where its part is looked for.
    pub(crate) fn is_of(&self, cell: &Arc<Cell>) -> bool {
        let own = self.followed.as_ref().and_then(|followed| followed.cell.as_ref());
        own.is_some_and(|own| Arc::ptr_eq(own, cell))
    }

    fn part(&self) -> Option<&Part> {
        self.followed.as_ref().and_then(|followed| followed.part.as_ref())
    }
}

/// The flight of a batch whose jobs have joined one.
pub(crate) fn flight(jobs: &[Job]) -> Option<Arc<dyn Flight>> {
    jobs.iter().find_map(Job::part).map(|part| part.flight.clone())
}

/// A batch is dispatched: its followed jobs become the parts of a flight.
pub(crate) fn dispatch(jobs: &mut [Job]) -> Option<Arc<dyn Flight>> {
    let follow = jobs.iter().find_map(|job| job.followed.as_ref())?.follow.clone();
    let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut what = Dispatched { rows: 0, parts: 0, requests: 0, timed: 0 };
    for (rows, followed) in jobs.iter().filter_map(|job| Some((short(job.rows), job.followed.as_ref()?))) {
        let timed = u32::from(followed.timed);
        what.rows += rows;
        what.parts += 1;
        what.requests += timed;
        what.timed += timed * rows;
    }
    let flight = follow.dispatched(what);
    let parts = jobs.iter_mut().filter_map(|job| Some((short(job.rows), job.followed.as_mut()?)));
    for (index, (rows, followed)) in (0..).zip(parts) {
        let timed = followed.timed;
        followed.join(Part { flight: flight.clone(), index, rows, timed });
    }
    Some(flight)
}
