//! Requests of several texts: what is known of those that end late, badly or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

use super::answer::{Answer, InferError};
use super::job::{Job, dispatch};
use super::pending::{Pending, Waiting};
use super::pool::{Limits, Pool};
use super::queue::Fifo;
use super::testing::{Counted, queue, text};
use crate::cost::CostCurve;

/// A pool without workers: tests take its batches.
fn pool() -> Arc<Pool> {
    let limits = Limits { max_queue: Duration::from_secs(2), max_delay: Duration::ZERO };
    let queues = (Fifo::new(CostCurve::new([]), 1), Some(queue()));
    Pool::start("test", Vec::new(), queues, limits, TaskTracker::new()).expect("no threads")
}

/// A request of texts of these lengths, of which the last counts for its time.
fn request(pool: &Arc<Pool>, follow: &Arc<Counted>, lengths: &[usize]) -> Pending {
    let (jobs, sent): (Vec<Job>, Vec<_>) = lengths.iter().map(|length| text(*length, 0, follow)).unzip();
    pool.push(jobs);
    let waiting = sent.into_iter().map(|sent| Waiting::for_worker(sent.told, Some(sent.cell)));
    Pending::many(waiting.collect(), lengths.len() - 1, pool.clone())
}

fn good() -> Answer {
    Answer { columns: [].into(), rows: 0..1, queued: Duration::ZERO, executed: Duration::ZERO }
}

/// Runs the next batch, as a worker does, and answers it.
fn run(pool: &Pool, answer: &Result<Answer, InferError>) {
    let mut batch = pool.next().expect("a batch");
    if !batch.dispatched {
        dispatch(&mut batch.jobs);
    }
    batch.jobs.into_iter().for_each(|job| job.answer(answer.clone()));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

#[tokio::test]
async fn texts_that_have_ended_are_not_late() {
    let (pool, follow) = (pool(), Arc::<Counted>::default());
    let mut pending = request(&pool, &follow, &[400, 10, 390, 12]);
    run(&pool, &Ok(good()));
    assert!(pending.until(soon()).await.is_none(), "the long ones wait");
    assert!(pending.timed().is_some(), "the short ones have ended, the last of them too");
    assert_eq!(follow.dispatched.load(Ordering::Relaxed), 2, "nobody had to be dispatched for that");
    assert!(pending.unfinished().is_some_and(|part| part.index < 2));
    assert_eq!(follow.dispatched.load(Ordering::Relaxed), 4, "one of the others had to");
    run(&pool, &Ok(good()));
    let replies = pending.until(soon()).await.expect("all have ended");
    assert!(replies.len() == 4 && replies.iter().flatten().all(|reply| reply.result.is_ok()));
}

#[tokio::test]
async fn a_text_that_fails_ends_its_request_and_the_others_say_nothing() {
    let (pool, follow) = (pool(), Arc::<Counted>::default());
    let mut pending = request(&pool, &follow, &[10, 11, 300, 301]);
    run(&pool, &Err(InferError::Failed("poison".into())));
    let replies = pending.until(soon()).await.expect("it has failed");
    let ended: Vec<bool> = replies.iter().map(Option::is_some).collect();
    assert_eq!(ended, [true, true, false, false], "both of the run that failed are heard of");
    pool.close();
    assert!(pool.next().is_none(), "those that were given up are not run");
    assert_eq!(follow.abandoned.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_runs_on_after_a_failure_is_no_evidence() {
    let (pool, follow) = (pool(), Arc::<Counted>::default());
    let mut pending = request(&pool, &follow, &[10, 11, 300, 301]);
    let (first, second) = (pool.next().expect("the short ones"), pool.next().expect("the long ones"));
    for (mut batch, answer) in [(first.jobs, false), (second.jobs, true)] {
        dispatch(&mut batch);
        let waits = answer.then(|| pending.until(soon()));
        if let Some(waits) = waits {
            assert!(waits.await.is_some_and(|replies| replies[2].is_none()));
        }
        batch.into_iter().for_each(|job| job.answer(Err(InferError::Failed("poison".into()))));
    }
    assert_eq!(follow.abandoned.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_client_left_behind_is_evidence_only_if_it_ran() {
    let (pool, follow) = (pool(), Arc::<Counted>::default());
    let pending = request(&pool, &follow, &[10, 11, 300, 301]);
    let mut ran = pool.next().expect("the short ones");
    dispatch(&mut ran.jobs);
    drop(pending);
    ran.jobs.into_iter().for_each(|job| job.answer(Ok(good())));
    assert_eq!(follow.abandoned.load(Ordering::Relaxed), 2, "these were on their way");
    pool.close();
    assert!(pool.next().is_none(), "the others are dropped");
    assert_eq!(follow.abandoned.load(Ordering::Relaxed), 2);
}
