//! Texts that wait: who is taken, dispatched and dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Batch, Fifo};
use crate::cost::CostCurve;
use crate::dtype::DType;
use crate::run::job::{Input, Job, Told};
use crate::run::testing::{Counted, Sent, queue, text};
use crate::tensor::Tensor;

fn lengths(batch: &Batch) -> Vec<usize> {
    batch.jobs.iter().filter_map(Job::text).map(|text| text.sequence.len()).collect()
}

#[test]
fn texts_of_like_length_share_a_run_and_the_shortest_go_first() {
    let (mut queue, follow) = (queue(), Arc::default());
    let sent: Vec<Sent> = [200, 10, 210, 12]
        .map(|length| {
            let (job, sent) = text(length, 0, &follow);
            queue.push(job, Duration::ZERO);
            sent
        })
        .into();
    assert_eq!(queue.len(), 4);
    let mut dropped = Vec::new();
    let first = queue.next(Instant::now(), &mut dropped).expect("a batch");
    assert_eq!((lengths(&first), first.length, first.dispatched), (vec![10, 12], 12, false));
    let second = queue.next(Instant::now(), &mut dropped).expect("a batch");
    assert_eq!((lengths(&second), second.length), (vec![200, 210], 210));
    assert!(queue.next(Instant::now(), &mut dropped).is_none() && dropped.is_empty());
    assert_eq!((queue.len(), queue.work()), (0, Duration::ZERO));
    drop(sent);
}

#[test]
fn one_that_is_late_is_dispatched_with_all_that_run_before_it() {
    let (mut queue, follow) = (queue(), Arc::<Counted>::default());
    let all = [(300, 50), (10, 10), (305, 5), (11, 0)].map(|(length, age)| text(length, age, &follow));
    let sent: Vec<Sent> = all.into_iter().map(|(job, sent)| (queue.push(job, Duration::ZERO), sent).1).collect();
    let (work, mut dropped) = (queue.work(), Vec::new());
    assert!(queue.seal(&sent[1].cell, Instant::now(), &mut dropped), "the second oldest");
    assert_eq!(follow.dispatched.load(Ordering::Relaxed), 4, "its run, and the run of the oldest");
    assert!(sent.iter().all(|sent| sent.cell.get().is_some()));
    assert!(queue.seal(&sent[0].cell, Instant::now(), &mut dropped), "again: nothing new");
    assert_eq!((follow.dispatched.load(Ordering::Relaxed), queue.len()), (4, 4));
    assert!(queue.work() > Duration::ZERO && queue.work() <= work * 2, "sealed work counts: {:?}", queue.work());
    let first = queue.next(Instant::now(), &mut dropped).expect("a batch");
    assert_eq!(
        (lengths(&first), first.dispatched),
        (vec![300, 305], true),
        "in the order in which they were dispatched"
    );
    assert_eq!(lengths(&queue.next(Instant::now(), &mut dropped).expect("a batch")), [10, 11]);
    let elsewhere = text(5, 0, &follow).1;
    assert!(!queue.seal(&elsewhere.cell, Instant::now(), &mut dropped), "not here");
}

#[test]
fn who_has_gone_is_never_run() {
    let (mut queue, follow) = (queue(), Arc::default());
    let [(one, gone), (two, stays)] = [text(10, 0, &follow), text(11, 0, &follow)];
    queue.push(one, Duration::ZERO);
    queue.push(two, Duration::ZERO);
    drop(gone.told);
    let mut dropped = Vec::new();
    let batch = queue.next(Instant::now(), &mut dropped).expect("a batch");
    assert_eq!((lengths(&batch), dropped.len()), (vec![11], 1));
    drop(stays);

    let [(one, gone), (two, stays)] = [text(10, 0, &follow), text(11, 0, &follow)];
    queue.push(one, Duration::ZERO);
    queue.push(two, Duration::ZERO);
    drop(gone.told);
    let (now, mut swept) = (Instant::now(), Vec::new());
    queue.sweep(now, |job| job.is_wanted(now), &mut swept);
    assert_eq!((swept.len(), queue.len()), (1, 1));
    drop(stays);
}

#[test]
fn texts_of_a_large_request_are_passed_by_those_who_come_later() {
    let (mut queue, follow) = (queue(), Arc::default());
    let mut before = Duration::ZERO;
    let mut sent = Vec::new();
    // Half a minute of work, that has waited for longer than any text should.
    for _ in 0..600 {
        let (job, one) = text(500, 200, &follow);
        before += queue.push(job, before);
        sent.push(one);
    }
    assert!(before > Duration::from_secs(10), "{before:?}");
    assert!(queue.work() < Duration::from_secs(1), "a quarter of the bound: {:?}", queue.work());
    let (job, newcomer) = text(20, 120, &follow);
    queue.push(job, Duration::ZERO);
    let (now, mut dropped) = (Instant::now(), Vec::new());
    let first: Vec<Vec<usize>> =
        (0..6).filter_map(|_| queue.next(now, &mut dropped)).map(|batch| lengths(&batch)).collect();
    assert!(first.iter().flatten().any(|length| *length == 20), "not behind all of them: {first:?}");
    drop((sent, newcomer));
}

/// A tensor of so many rows.
fn tensor(rows: usize) -> (Job, oneshot::Receiver<Told>) {
    let (reply, told) = oneshot::channel();
    let now = Instant::now();
    let input = Input::Tensors(vec![Tensor::zeros(DType::F32, [rows, 2][..].into())]);
    let deadline = now + Duration::from_secs(60);
    (Job { input, rows, arrived: now, deadline, reply, followed: None, home: None }, told)
}

#[test]
fn a_run_is_full_by_the_rows_that_wait_whoever_has_gone() {
    let full = |queue: &Fifo| queue.head().is_some_and(|head| head.full);
    let mut queue = Fifo::new(CostCurve::new([(1, Duration::from_millis(1)), (8, Duration::from_millis(2))]), 4);
    let mut told: Vec<oneshot::Receiver<Told>> = Vec::new();
    let mut push = |queue: &mut Fifo, rows| {
        let (job, receiver) = tensor(rows);
        queue.push(job);
        told.push(receiver);
    };
    for rows in [2, 1] {
        push(&mut queue, rows);
        assert!(!full(&queue));
    }
    push(&mut queue, 3);
    assert!(full(&queue), "6 rows of 4");
    let batch = queue.next().expect("a batch");
    assert_eq!(batch.jobs.iter().map(|job| job.rows).collect::<Vec<_>>(), [2, 1]);
    assert!(!full(&queue), "3 are left");
    push(&mut queue, 1);
    assert!(full(&queue));
    let mut swept = Vec::new();
    queue.sweep(|job| job.rows == 1, &mut swept);
    assert_eq!((swept.len(), queue.len(), full(&queue)), (1, 1, false));
    assert!(queue.next().is_some() && queue.next().is_none());
    assert_eq!((queue.work(), queue.head().is_none()), (Duration::ZERO, true));
}
