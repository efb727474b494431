//! A request that was submitted: how it is waited for.

use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use super::answer::{InferError, Reply};
use super::flight::{Cell, Part};
use super::job::Told;
use super::pool::Pool;

/// What came of a request's jobs, in their order. Nothing where it was given up, because another had failed.
pub type Replies = SmallVec<[Option<Reply>; 1]>;

/// A request on its way through a version. Dropping it is giving it up.
pub struct Pending {
    jobs: SmallVec<[Waiting; 1]>,
    /// Of those that have ended, in their places.
    replies: Replies,
    /// The job by which its time is judged.
    timed: usize,
    pool: Arc<Pool>,
}

/// One job of it.
pub(crate) struct Waiting {
    told: oneshot::Receiver<Told>,
    place: Place,
}

/// Where a job waits.
enum Place {
    /// On a lane. It runs on this very thread and is ended by the watchdog: no timer could fire earlier.
    Inline,
    /// For a worker; followed where there is a cell.
    ForWorker(Option<Arc<Cell>>),
}

impl Waiting {
    pub(crate) const fn inline(told: oneshot::Receiver<Told>) -> Self {
        Self { told, place: Place::Inline }
    }

    pub(crate) const fn for_worker(told: oneshot::Receiver<Told>, cell: Option<Arc<Cell>>) -> Self {
        Self { told, place: Place::ForWorker(cell) }
    }

    async fn until(&mut self, limit: Instant) -> Option<Reply> {
        loop {
            let told = match &self.place {
                Place::Inline => (&mut self.told).await,
                // A worker answers at the deadline too, but a kernel that cannot be ended must not hold the client.
                Place::ForWorker(_) => tokio::time::timeout_at(limit.into(), &mut self.told).await.ok()?,
            };
            match told {
                Ok(Told::Done(reply)) => return Some(reply),
                Ok(Told::Moved(told, cell)) => (self.told, self.place) = (told, Place::ForWorker(cell)),
                // A sender that is dropped unanswered means that its thread is gone.
                Err(_) => return Some(Reply { result: Err(InferError::Unloaded), part: None }),
            }
        }
    }

    /// What it was told already.
    fn told(&mut self) -> Option<Reply> {
        match self.told.try_recv() {
            Ok(Told::Done(reply)) => Some(reply),
            _ => None,
        }
    }

    /// Gives it up. What it was told already is not lost.
    fn give_up(&mut self) -> Option<Reply> {
        if let Place::ForWorker(Some(cell)) = &self.place {
            cell.give_up();
        }
        self.told.close();
        self.told()
    }

    fn part(&self, pool: &Pool) -> Option<Part> {
        let Place::ForWorker(Some(cell)) = &self.place else { return None };
        if cell.get().is_none() {
            pool.seal(cell);
        }
        cell.get().cloned()
    }
}

impl Pending {
    pub(crate) fn one(job: Waiting, pool: Arc<Pool>) -> Self {
        Self::many(smallvec![job], 0, pool)
    }

    pub(crate) fn many(jobs: SmallVec<[Waiting; 1]>, timed: usize, pool: Arc<Pool>) -> Self {
        let replies = jobs.iter().map(|_| None).collect();
        Self { jobs, replies, timed, pool }
    }

    /// Waits until `limit`; none where it passed, and it may be asked again. Once a job has failed, those that have not
    /// ended are given up. After an answer there is nothing more to be asked for.
    pub async fn until(&mut self, limit: Instant) -> Option<Replies> {
        while let Some(next) = self.replies.iter().position(Option::is_none) {
            let Some(reply) = self.jobs.get_mut(next)?.until(limit).await else {
                // Jobs do not end in their order.
                self.collect();
                if self.replies.iter().flatten().any(|reply| reply.result.is_err()) {
                    return Some(self.give_up());
                }
                if self.replies.iter().all(Option::is_some) {
                    continue;
                }
                return None;
            };
            let failed = reply.result.is_err();
            self.replies[next] = Some(reply);
            if failed {
                return Some(self.give_up());
            }
        }
        Some(std::mem::take(&mut self.replies))
    }

    /// Takes what jobs were told that nobody waited for.
    fn collect(&mut self) {
        for (job, reply) in self.jobs.iter_mut().zip(&mut self.replies).filter(|(_, reply)| reply.is_none()) {
            *reply = job.told();
        }
    }

    fn give_up(&mut self) -> Replies {
        for (job, reply) in self.jobs.iter_mut().zip(&mut self.replies).filter(|(_, reply)| reply.is_none()) {
            *reply = job.give_up();
        }
        std::mem::take(&mut self.replies)
    }

    /// The part by which its time is judged, for a request that is late: where that still waits for a worker, it is
    /// dispatched for those who follow it. None where nobody does.
    #[must_use]
    pub fn timed(&self) -> Option<Part> {
        match self.replies.get(self.timed) {
            Some(Some(reply)) => reply.part.clone(),
            _ => self.jobs.get(self.timed)?.part(&self.pool),
        }
    }

    /// A part that has not ended, the timed one if it has not: one for the whole request, which is late but once.
    #[must_use]
    pub fn unfinished(&self) -> Option<Part> {
        let open = |place: &usize| self.replies.get(*place).is_some_and(Option::is_none);
        let place = Some(self.timed).filter(open).or_else(|| (0..self.jobs.len()).find(open))?;
        self.jobs.get(place)?.part(&self.pool)
    }
}
