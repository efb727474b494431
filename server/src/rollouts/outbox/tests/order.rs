//! Groups keep their order, and do not wait for each other.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use perch_store::{Message, Queue};
use serde_json::json;
use tokio::net::TcpListener;

use super::desk::Desk;
use super::receiver::{Answer, Receiver};
use super::until;

#[tokio::test]
async fn after_an_outage_all_arrive_in_their_order() {
    // A port that nobody listens on, for now.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut desk = Desk::new(address, &["hook"]).await;
    desk.pace.longest = Duration::from_millis(200);
    let running = desk.start();
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.extend(desk.tell().await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(desk.pending(Queue::Notify).await, 20);
    let receiver = Receiver::new([Answer::Status(502)]);
    let (_, _serving) = receiver.listen_at(address).await;
    until("all", async || desk.pending(Queue::Notify).await == 0).await;
    running.stop().await;
    let got: Vec<String> = receiver.got().into_iter().map(|got| got.key).collect();
    assert_eq!(got[0], keys[0], "refused with 502");
    assert_eq!(got[1..], keys);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_back_nobody_else() {
    let receiver = Receiver::hanging_at("slow");
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["slow", "quick"]).await;
    // It hangs for longer than anything here takes.
    desk.pace.notice = Duration::from_secs(600);
    let running = desk.start();
    for _ in 0..5 {
        desk.tell().await;
    }
    let at = |path: &str| receiver.got().into_iter().filter(|got| got.path == path).count();
    until("half of them arrived", async || desk.pending(Queue::Notify).await == 5).await;
    assert_eq!(at("/quick"), 5, "the quick one has all");
    assert_eq!(at("/slow"), 1, "the other is still waited for");
    running.kill().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_is_asked_again_for_the_same_when_its_time_is_over() {
    let receiver = Receiver::hanging_at("slow");
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["slow"]).await;
    desk.pace.notice = Duration::from_millis(400);
    let keys = [desk.tell().await, desk.tell().await].concat();
    let began = Instant::now();
    let running = desk.start();
    until("the third time", async || receiver.count() == 3).await;
    running.stop().await;
    let got = receiver.got();
    // From the start: when it came the first time may have been noticed late.
    assert!(got[2].at - began >= Duration::from_millis(2 * 390), "not before its time was over, twice");
    assert!(got.iter().all(|got| got.key == keys[0]), "{got:?}");
    assert_eq!(desk.pending(Queue::Notify).await, 2);
}

#[tokio::test]
async fn what_nobody_can_read_or_receive_any_more_is_given_up() {
    let receiver = Receiver::default();
    let (address, _serving) = receiver.listen().await;
    let mut desk = Desk::new(address, &["hook"]).await;
    let mut gone = Desk::new(address, &["gone"]).await;
    gone.tell().await;
    let message = gone.head().await;
    let odd = |queue| Message { key: format!("odd {queue}"), queue, group: "g".into(), payload: json!({"model": 1}) };
    desk.put(vec![message, odd(Queue::Notify), odd(Queue::Registry)]).await;
    let running = desk.start();
    until("all", async || desk.pending(Queue::Notify).await + desk.pending(Queue::Registry).await == 0).await;
    running.stop().await;
    let given_up = desk.given_up().await;
    let starts = ["the policy has no receiver webhook/", "no notice: ", "no change of a registry: "];
    for (error, start) in given_up.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
    assert_eq!((given_up.len(), receiver.count()), (3, 0));
}
