//! Again and again, and when not.

use std::time::{Duration, Instant};

use perch_store::Queue;

use super::desk::Desk;
use super::receiver::{Answer, Receiver};
use super::until;
use crate::metrics;

#[tokio::test]
async fn a_message_is_tried_with_the_same_key_until_it_is_taken() {
    let receiver = Receiver::new([Answer::Status(500), Answer::Status(429), Answer::Status(503)]);
    let (address, _serving) = receiver.listen().await;
    let recorder = metrics::install().unwrap();
    let mut desk = Desk::new(address, &["hook"]).await;
    let running = desk.start();
    let keys = desk.tell().await;
    until("taken", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    let got = receiver.got();
    assert_eq!(got.len(), 4);
    for request in &got {
        assert_eq!(request.key, keys[0]);
        assert_eq!(request.agent, concat!("perch/", env!("CARGO_PKG_VERSION")));
        assert_eq!((&request.body["message"], &request.body["weight"]), (&"version 4 is promoted".into(), &100.into()));
    }
    assert!(desk.given_up().await.is_empty());
    let recorded = recorder.render();
    for line in [
        "perch_notifications_total{type=\"webhook\",result=\"sent\"}",
        "perch_notifications_total{type=\"webhook\",result=\"failed\"}",
        "perch_outbox_attempts_total{queue=\"notify\",result=\"put_off\"}",
        "perch_outbox_pending{queue=\"notify\"}",
    ] {
        assert!(recorded.contains(line), "{line}: {recorded}");
    }
}

#[tokio::test]
async fn what_is_new_goes_at_once_when_it_is_woken() {
    let receiver = Receiver::default();
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.pace.look = Duration::from_secs(3600);
    let running = desk.start();
    for number in 1..=3 {
        desk.tell().await;
        running.wake();
        until("taken", async || desk.pending(Queue::Notify).await == 0).await;
        assert_eq!(receiver.count(), number);
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_given_up_and_makes_way() {
    let receiver = Receiver::new([Answer::Status(404), Answer::Status(301)]);
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["T0/secret"]).await;
    for _ in 0..3 {
        desk.tell().await;
    }
    let running = desk.start();
    until("all done", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    assert_eq!(receiver.count(), 3, "each once");
    let first = format!("http://{address} answered 404 Not Found: no where: ***");
    let second = format!("http://{address} answered 301 Moved Permanently: no where: ***");
    assert_eq!(desk.given_up().await, [first, second]);
}

/// How long a receiver was left alone that wants that.
async fn left_alone(answer: Answer, longest: Duration) -> Duration {
    let receiver = Receiver::new([answer]);
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.pace.longest = longest;
    desk.tell().await;
    let running = desk.start();
    until("taken", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    let got = receiver.got();
    got[1].at - got[0].at
}

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_says() {
    let pause = left_alone(Answer::RetryAfter(429, 1), Duration::from_secs(3600)).await;
    assert!(pause >= Duration::from_millis(990) && pause < Duration::from_secs(60), "{pause:?}");
}

#[tokio::test]
async fn a_receiver_that_wants_to_be_left_alone_for_an_hour_is_asked_after_the_longest_pause() {
    let pause = left_alone(Answer::RetryAfter(503, 3600), Duration::from_secs(2)).await;
    assert!(pause >= Duration::from_millis(1990), "{pause:?}");
}

#[tokio::test]
async fn a_notice_is_given_up_after_a_day() {
    let receiver = Receiver::new([Answer::Status(500); 4]);
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.at -= 24.0 * 3600.0 + 1.0;
    desk.tell().await;
    desk.at += 60.0;
    desk.tell().await;
    let running = desk.start();
    until("all done", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    assert_eq!(receiver.count(), 5, "the old one once, the other until it was taken");
    let given_up = desk.given_up().await;
    assert!(given_up.len() == 1 && given_up[0].starts_with("too old after 1 attempts: http://"), "{given_up:?}");
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_after_a_restart() {
    let receiver = Receiver::default();
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.tell().await;
    let running = desk.start();
    until("taken", async || desk.pending(Queue::Notify).await == 0).await;
    running.kill().await;
    let running = desk.start();
    desk.tell().await;
    until("the next one too", async || receiver.count() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop().await;
    let got = receiver.got();
    assert!(got.len() == 2 && got[0].key != got[1].key, "{got:?}");
}

#[tokio::test]
async fn what_was_cut_off_by_the_end_of_the_process_goes_again_with_its_key() {
    let receiver = Receiver::new([Answer::Never]);
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    let keys = desk.tell().await;
    let running = desk.start();
    until("it came", async || receiver.count() == 1).await;
    running.kill().await;
    let running = desk.start();
    until("taken", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    assert!(receiver.got().iter().map(|got| &got.key).eq([&keys[0], &keys[0]]));
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_sent_twice() {
    let receiver = Receiver::default();
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.tell().await;
    desk.change("CREATE TRIGGER away BEFORE UPDATE OF attempts ON outbox BEGIN SELECT RAISE(ABORT, 'away'); END").await;
    let running = desk.start();
    until("it came", async || receiver.count() == 1).await;
    desk.change("ALTER TABLE outbox RENAME TO outbox_away").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.count(), 1, "that it arrived is still to be stored");
    desk.change("ALTER TABLE outbox_away RENAME TO outbox; DROP TRIGGER away").await;
    until("stored", async || desk.pending(Queue::Notify).await == 0).await;
    desk.tell().await;
    until("the next one", async || receiver.count() == 2).await;
    running.stop().await;
}

#[tokio::test]
async fn an_end_waits_a_moment_for_what_is_on_its_way() {
    let receiver = Receiver::new([Answer::Never]);
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    // Without a farewell it would wait for the attempt.
    (desk.pace.farewell, desk.pace.notice) = (Duration::from_millis(200), Duration::from_secs(600));
    desk.tell().await;
    let running = desk.start();
    until("it came", async || receiver.count() == 1).await;
    let began = Instant::now();
    running.stop().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(60), "{took:?}");
    assert_eq!(desk.pending(Queue::Notify).await, 1);
}
