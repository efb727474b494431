//! Models and clients that misbehave: what they do stays theirs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use perch_models::version::Mode;
use perch_testkit::client::request;
use perch_testkit::fake::{FakeLoader, Script, trigger};
use perch_testkit::{Client, Metronome, Models, TestServer, wait};
use serde_json::{Value, json};

fn rows(rows: &[f32]) -> Value {
    json!({"model": "fake", "instances": rows})
}

/// A server of one scripted model, ready, and its script.
fn scripted(timeout: &str) -> (TestServer, Arc<Script>) {
    let (loader, script) = FakeLoader::new();
    let builder = TestServer::builder(Models::scripted(&["fake"])).set("server.requestTimeout", timeout);
    (builder.loader(loader).ready(), script)
}

/// Clients that each have a connection already; they are spread over the reactors.
fn connected(server: &TestServer, count: usize) -> Vec<Client> {
    let client = |_| {
        let mut client = server.client();
        assert_eq!(client.predict(&rows(&[1.0])).status, 200);
        client
    };
    (0..count).map(client).collect()
}

fn send(client: &mut Client, body: &Value) {
    client.send(&request("POST", "/predict", &[], body.to_string().as_bytes())).expect("sent");
}

/// Keeps every reactor busy for a moment, so that what is sent meanwhile is read in one turn and shares a batch.
fn hold_reactors(script: &Script, clients: &mut [Client]) {
    script.delay(Duration::from_millis(100));
    for client in clients {
        send(client, &rows(&[trigger::SLOW]));
    }
    let slow = |batch: &Vec<f32>| batch.iter().any(|row| row.to_bits() == trigger::SLOW.to_bits());
    wait::until_true("a slow run", || script.batches().iter().any(slow));
}

#[test]
fn a_model_that_never_ends_is_ended_and_disturbs_nobody() {
    let builder = TestServer::builder(Models::with(&["loop", "external"]));
    let server = builder.set("server.requestTimeout", "6s").ready();
    let endless = json!({"model": "loop", "instances": [1_000_000_000_000_u64]});
    let ten = json!({"model": "loop", "instances": [10]});
    let good = json!({"model": "external", "instances": [[1, 1, 1, 1]]});
    assert_eq!(server.predict(&ten).ok()["predictions"], json!([10.0]));
    assert_eq!(server.mode("loop"), Mode::Inline);

    let (running, metronome) = (AtomicBool::new(true), Metronome::start());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let (mut longest, mut count) = (Duration::ZERO, 0);
            while running.load(Ordering::SeqCst) {
                let began = Instant::now();
                assert_eq!(server.predict(&good).ok()["predictions"], json!([10.5]));
                let ended = Instant::now();
                // A time in which the machine itself stood still was not the model's.
                longest = longest.max((ended - began).saturating_sub(metronome.worst(began, ended)));
                count += 1;
            }
            (longest, count)
        });
        let began = Instant::now();
        let (code, _) = server.predict(&endless).error(504);
        assert_eq!(code, "timeout");
        let took = began.elapsed();
        running.store(false, Ordering::SeqCst);
        assert!(took >= Duration::from_secs(6), "its time is its own: {took:?}");
        let (longest, count) = other.join().expect("the other model's client");
        assert!(longest < Duration::from_millis(2500), "another model waited {longest:?} behind it");
        assert!(count > 10, "{count} answers in {took:?}");
    });
    assert_eq!(server.mode("loop"), Mode::Worker, "it does not get a reactor again");
    assert_eq!(server.predict(&ten).ok()["predictions"], json!([10.0]), "it serves what it can");

    // Several at once, which share a batch, and again afterwards.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| server.predict(&endless).error(504));
        }
    });
    assert_eq!(server.predict(&ten).ok()["predictions"], json!([10.0]));
}

#[test]
fn a_panic_in_the_backend_fails_that_request_only() {
    let (server, _) = scripted("10s");
    let mut client = server.client();
    for _ in 0..3 {
        let (code, message) = client.predict(&rows(&[trigger::PANIC])).error(500);
        assert_eq!((&*code, &*message), ("model_failed", "the backend panicked"));
        assert_eq!(client.predict(&rows(&[3.0])).ok()["predictions"], json!([6.0]));
    }
}

#[test]
fn a_model_that_fails_says_so_and_serves_the_next_request() {
    let (server, _) = scripted("10s");
    let mut client = server.client();
    let (code, message) = client.predict(&rows(&[1.0, trigger::FAIL])).error(500);
    assert_eq!((&*code, &*message), ("model_failed", "the model failed as the request wants it"));
    let (code, message) = client.predict(&rows(&[trigger::INVALID])).error(400);
    assert_eq!((&*code, &*message), ("invalid_input", "the input is wrong as the request wants it"));
    let reply = client.predict(&rows(&[1.0, trigger::NAN]));
    assert!(reply.text().contains(r#""predictions":[2.0,NaN]"#), "{}", reply.text());
}

#[test]
fn an_answer_with_the_wrong_number_of_rows_or_outputs_is_the_models_failure() {
    let (server, _) = scripted("10s");
    let mut client = server.client();
    for wrong in [trigger::LONG, trigger::SHORT, trigger::NOTHING] {
        let (code, message) = client.predict(&rows(&[5.0, wrong])).error(500);
        assert_eq!(code, "model_failed");
        assert!(message.contains("output"), "{message}");
        assert_eq!(client.predict(&rows(&[3.0])).ok()["predictions"], json!([6.0]));
    }
}

/// Good requests and one that fails alone, sent while the reactors are held: they end up in one batch.
#[test]
fn a_poison_request_does_not_fail_the_batch_it_is_in() {
    let (server, script) = scripted("10s");
    let mut clients = connected(&server, 12);
    let shared = |script: &Script, poison: f32| {
        script
            .batches()
            .iter()
            .any(|batch| batch.len() > 1 && batch.iter().any(|row| row.to_bits() == poison.to_bits()))
    };
    for (poison, status) in
        [(trigger::FAIL, 500), (trigger::PANIC, 500), (trigger::INVALID, 400), (trigger::SHORT, 500)]
    {
        wait::until_true("a batch that a poison request shares", || {
            let (holders, others) = clients.split_at_mut(2);
            hold_reactors(&script, holders);
            for (number, client) in others.iter_mut().enumerate() {
                let row = if number == 4 { poison } else { f32::from(u8::try_from(number).unwrap_or(0)) };
                send(client, &rows(&[row]));
            }
            for (number, client) in others.iter_mut().enumerate() {
                let reply = client.receive().expect("whole").expect("an answer");
                if number == 4 {
                    assert_eq!(reply.status, status, "{}", reply.text());
                } else {
                    assert_eq!(reply.ok()["predictions"], json!([2.0 * f64::from(u8::try_from(number).unwrap_or(0))]));
                }
            }
            for client in holders {
                assert_eq!(client.receive().expect("whole").expect("an answer").status, 200);
            }
            shared(&script, poison)
        });
    }
}

#[test]
fn clients_that_hang_up_in_mid_batch_delay_nobody() {
    let (server, script) = scripted("30s");
    for round in 0..10 {
        let mut clients = connected(&server, 14);
        let (holders, others) = clients.split_at_mut(2);
        hold_reactors(&script, holders);
        // Those that open the batch are gone by the time it runs.
        let (leaving, staying) = others.split_at_mut(4);
        for client in leaving.iter_mut() {
            send(client, &rows(&[7.0]));
            client.hang_up();
        }
        let began = Instant::now();
        for client in staying.iter_mut() {
            send(client, &rows(&[8.0]));
        }
        // Those that hold the reactors leave in the middle of their run.
        holders.iter_mut().for_each(Client::hang_up);
        for client in staying {
            let reply = client.receive().expect("whole").expect("an answer");
            assert_eq!(reply.ok()["predictions"], json!([16.0]));
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "round {round} took {took:?}, a third of the request timeout");
    }
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let yaml = "models: [{name: heavy, batching: {maxQueue: 1ms, maxRows: 1}}]";
    let server = TestServer::builder(Models::with(&["heavy"])).yaml(yaml).ready();
    let body = json!({"instances": [[1, 2, 3, 6]]});
    assert_eq!(server.mode("heavy"), Mode::Worker);
    let start = Barrier::new(24);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients = (0..24).map(|_| {
            scope.spawn(|| {
                let mut client = server.client();
                start.wait();
                let reply = client.predict(&body);
                if reply.status == 429 {
                    assert_eq!(reply.error(429).0, "overloaded");
                    let after = reply.header("retry-after").and_then(|after| after.parse::<u64>().ok());
                    assert!(after.is_some_and(|after| after >= 1), "{:?}", reply.headers);
                }
                reply.status
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    let answer = wait::until("room in the queue", || Some(server.predict(&body)).filter(|reply| reply.status == 200));
    assert_eq!(answer.ok()["predictions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_kernel_that_cannot_be_ended_does_not_hold_its_client() {
    let (server, _) = scripted("1s");
    // A run that had to be ended moves the version to threads of its own.
    assert_eq!(server.predict(&rows(&[trigger::SPIN])).error(504).0, "timeout");
    assert_eq!(server.mode("fake"), Mode::Worker);
    assert_eq!(server.predict(&rows(&[trigger::DEAF])).error(504).0, "timeout");
    wait::until_true("the model answers again", || server.predict(&rows(&[3.0])).status == 200);
}

#[test]
fn a_warm_up_that_never_ends_fails_the_version_and_it_is_tried_again() {
    let (loader, script) = FakeLoader::new();
    script.always_spins.store(true, Ordering::SeqCst);
    let yaml = "models: [{name: fake, loadTimeout: 300ms}]";
    let server = TestServer::builder(Models::scripted(&["fake"])).yaml(yaml).loader(loader).start();
    let model = server.wait_model("fake", "failed", |model| model["versions"][0]["state"] == "failed");
    let error = model["versions"][0]["error"].as_str().expect("a reason");
    assert!(error.contains("warm-up failed") && error.contains("load timeout"), "{error}");
    assert_eq!(server.get("/health/ready").status, 503);
    let (code, message) = server.predict(&rows(&[1.0])).error(503);
    assert_eq!(code, "not_ready");
    assert!(message.contains("load timeout"), "the client is told as well: {message}");
    script.always_spins.store(false, Ordering::SeqCst);
    server.wait_ready();
}

#[test]
fn a_panic_while_opening_fails_the_version_and_it_is_tried_again() {
    let (loader, script) = FakeLoader::new();
    script.open_panics.store(true, Ordering::SeqCst);
    let server = TestServer::builder(Models::scripted(&["fake"])).loader(loader).start();
    let model = server.wait_model("fake", "failed", |model| model["versions"][0]["state"] == "failed");
    let error = model["versions"][0]["error"].as_str().expect("a reason");
    assert!(error.contains("panicked"), "{error}");
    script.open_panics.store(false, Ordering::SeqCst);
    server.wait_ready();
    assert_eq!(server.predict(&rows(&[4.0])).ok()["predictions"], json!([8.0]));
}
