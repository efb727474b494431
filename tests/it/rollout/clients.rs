//! Clients that do not wait for their answers, and queues behind runs that hang: what the canary did is counted all the
//! same, and while they wait.

use std::time::{Duration, Instant};

use perch_testkit::Client;
use perch_testkit::fake::Act;
use perch_testkit::load::Load;
use perch_testkit::wait;

use super::{
    ALL, ERRORS, HALF, PATIENT, Trial, assert_doubled, holds, loads_on_workers, questions, receive, send, why,
};

/// A machine that stands still for a moment makes nothing late: what is late is the canary's fault, and may not be run.
const NEVER_LATE: &str = "routing: {fallback: {after: 50s}}";

/// A client that has sent this row.
fn sent(trial: &Trial, row: f32) -> Client {
    let mut client = trial.server.client();
    send(&mut client, &[row]);
    client
}

fn wait_began(trial: &Trial, row: f32) {
    let began = || trial.script.batches_of(2).iter().any(|batch| holds(batch, row));
    wait::until_true("its run", began);
}

/// Each of them is gone before its run has ended.
fn demoted_by_three_that_hang_up(trial: &Trial) {
    for (bad, row) in (1..).zip([1.0, 2.0, 3.0]) {
        let mut client = sent(trial, row);
        wait_began(trial, row);
        client.hang_up();
        // One that comes while this run lasts has expired before its own.
        trial.rollout.wait("it to be counted", |view| view["metrics"][0]["bad"].as_u64() >= Some(bad));
    }
    let view = trial.rollout.wait_state("demoted");
    assert_eq!(view["metrics"][0]["bad"], 3, "{view}");
}

#[test]
fn executions_whose_clients_went_away_are_finished_and_counted() {
    let trial = Trial::prepared("gone", &[NEVER_LATE, PATIENT, ALL], "60s", |script| loads_on_workers(script, 2));
    // Long enough for the client to be gone by then, whatever the machine does meanwhile.
    trial.script.behave(2, |rows| if rows[0] < 3.0 { Act::Wait(Duration::from_millis(400)) } else { Act::Answer });
    for row in [1.0, 2.0] {
        let mut client = sent(&trial, row);
        wait_began(&trial, row);
        client.hang_up();
        assert_doubled(&trial.ask(5.0), 5.0);
    }
    let (_, metric) = trial.counted("errors", 4);
    assert_eq!(metric["bad"], 0, "{metric}");
}

#[test]
fn failures_whose_clients_went_away_are_the_canarys_all_the_same() {
    let trial = Trial::prepared("gone-bad", &[ERRORS, ALL], "10s", |script| loads_on_workers(script, 2));
    trial.script.behave(2, |_| {
        std::thread::sleep(Duration::from_millis(400));
        Act::Fail
    });
    demoted_by_three_that_hang_up(&trial);
}

#[test]
fn a_hung_canary_whose_clients_all_hang_up_is_demoted() {
    let trial = Trial::prepared("hung-gone", &[ERRORS, ALL], "1s", |script| loads_on_workers(script, 2));
    trial.script.behave(2, |_| Act::Spin);
    demoted_by_three_that_hang_up(&trial);
}

/// One worker hangs; what waits behind it is late as well, and counted before anything has ended.
#[test]
fn requests_that_wait_behind_a_hung_run_are_counted_while_they_wait() {
    let routing = "routing: {fallback: {after: 300ms}}";
    let trial = Trial::prepared("behind", &[routing, ERRORS, ALL], "60s", |script| loads_on_workers(script, 2));
    trial.script.behave(2, |_| Act::Spin);
    let began = Instant::now();
    let mut first = sent(&trial, 1.0);
    wait_began(&trial, 1.0);
    for row in [2.0, 3.0] {
        let mut client = sent(&trial, row);
        let reply = receive(&mut client);
        assert_doubled(&reply, row);
        assert_eq!(why(&reply), Some("timeout"));
    }
    assert_doubled(&receive(&mut first), 1.0);
    let view = trial.rollout.wait_state("demoted");
    assert!(began.elapsed() < Duration::from_secs(50), "the first run has ended before");
    assert_eq!((&view["metrics"][0]["n"], &view["metrics"][0]["bad"]), (&3.into(), &3.into()), "{view}");
    assert!(!trial.script.batches_of(2).iter().any(|batch| holds(batch, 2.0)), "it has not been run yet");
}

/// A policy with latency alone: what is slow is known when the limit passes, not at the end.
#[test]
fn slowness_is_counted_while_it_lasts() {
    let policy = "analysis: {warmupRequests: 0, metrics: [{name: latency, type: latency, quantile: p95, max: 200ms}]}";
    let trial = Trial::prepared("slow-now", &[policy, NEVER_LATE, ALL], "60s", |script| {
        loads_on_workers(script, 2);
    });
    trial.script.behave(2, |_| Act::Spin);
    let began = Instant::now();
    let mut clients = vec![sent(&trial, 1.0)];
    wait_began(&trial, 1.0);
    // Each is late on its own, and one batch.
    let bad = |least: u64| move |view: &serde_json::Value| view["metrics"][0]["bad"].as_u64() >= Some(least);
    trial.rollout.wait("the first is slow", bad(1));
    for least in 2..=6 {
        if trial.rollout.view()["state"] == "demoted" {
            break;
        }
        clients.push(sent(&trial, 2.0));
        trial.rollout.wait("another is slow", |view| bad(least)(view) || view["state"] == "demoted");
    }
    trial.rollout.wait_state("demoted");
    assert!(began.elapsed() < Duration::from_secs(45), "the first request is not over");
}

/// Clients that come, fail, hang up and share batches at random: every run of the canary is one execution.
fn every_run_is_counted_once(trial: &Trial) {
    let from = trial.canary_runs();
    let failing = |row: u16| row.is_multiple_of(7);
    trial.script.behave(2, |rows| if rows.iter().any(|row| row % 7.0 < 0.5) { Act::Fail } else { Act::Answer });
    std::thread::scope(|scope| {
        for number in 0..8_u16 {
            scope.spawn(move || {
                let mut client = trial.server.client();
                for turn in 0..200_u16 {
                    let row = (number * 31 + turn * 13) % 1000;
                    send(&mut client, &[row.into()]);
                    if (turn + number) % 5 == 0 {
                        client.hang_up();
                        continue;
                    }
                    let reply = receive(&mut client);
                    assert_doubled(&reply, row.into());
                    assert!(!(failing(row) && super::track(&reply) == "canary"), "it fails {row}");
                }
            });
        }
    });
    let runs = || (trial.canary_runs() - from) as u64;
    let view = trial.rollout.wait("every run is counted", |view| view["metrics"][0]["n"] == runs());
    // Half of those that waited, and whoever hung up too late.
    assert!(runs() > 100, "{} runs", runs());
    assert!(view["metrics"][0]["bad"].as_u64() > Some(20), "{view}");
}

#[test]
fn every_run_on_a_reactor_is_counted_once() {
    every_run_is_counted_once(&Trial::prepared("once-inline", &[NEVER_LATE, PATIENT, HALF], "60s", |_| {}));
}

#[test]
fn every_run_on_a_worker_is_counted_once() {
    every_run_is_counted_once(&Trial::prepared("once-worker", &[NEVER_LATE, PATIENT, HALF], "60s", |script| {
        loads_on_workers(script, 2);
    }));
}

/// What a queue refuses was not run: stable answers it, and nobody is blamed.
#[test]
fn a_full_queue_of_the_canary_is_answered_by_stable_and_is_no_evidence() {
    let entry = "  batching: {maxQueue: 1ms, maxRows: 1}\n";
    let trial = Trial::prepared_with(
        "full",
        &["routing: {fallback: {burst: 10000000, after: 50s}}", ERRORS, ALL],
        "60s",
        entry,
        |script| loads_on_workers(script, 2),
    );
    trial.script.behave(2, |_| Act::Wait(Duration::from_millis(50)));
    let load = Load::start(trial.server.address(), 12, questions(100));
    let view = trial.rollout.wait("many fall back", |view| view["fallbacks"]["error"].as_u64() > Some(50));
    assert_eq!(load.finish().failures, Vec::<String>::new());
    assert_eq!((&view["state"], &view["metrics"][0]["bad"]), (&"paused".into(), &0.into()), "{view}");
}
