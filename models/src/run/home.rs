//! The way back: answers of one run reach a reactor together.
//!
//! Told one by one, a reactor that shares its core with the worker would take the core from it with each answer, print
//! it and give the core back: two switches a request, in caches that the run has emptied.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, InferError};
use super::job::Job;

/// Where a job came from.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    reactor: usize,
    handle: Handle,
}

impl Home {
    /// The reactor that this is called on; none outside of a runtime.
    pub(crate) fn here(reactor: usize) -> Option<Arc<Self>> {
        let handle = Handle::try_current().ok()?;
        Some(Arc::new(Self { reactor, handle }))
    }

    /// Its number.
    pub(crate) const fn reactor(&self) -> usize {
        self.reactor
    }
}

/// Answers jobs of one run, those of each reactor on that reactor.
pub(super) fn deliver(mut answers: Vec<(Job, Result<Answer, InferError>)>, tasks: &TaskTracker) {
    let home = |(job, _): &(Job, Result<Answer, InferError>)| job.home.as_ref().map(|home| home.reactor);
    while let Some(first) = answers.first() {
        let reactor = home(first);
        let (these, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|one| home(one) == reactor);
        answers = others;
        let handle = these.first().and_then(|(job, _)| job.home.as_ref()).map(|home| home.handle.clone());
        match handle.filter(|_| these.len() > 1) {
            Some(handle) => {
                tasks.spawn_on(async move { tell(these) }, &handle);
            }
            None => tell(these),
        }
    }
}

fn tell(answers: Vec<(Job, Result<Answer, InferError>)>) {
    answers.into_iter().for_each(|(job, result)| job.answer(result));
}
