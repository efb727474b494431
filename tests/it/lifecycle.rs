//! The real binary from its start to its end: signals, exit codes, the log.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use perch_testkit::client::request;
use perch_testkit::process::{command, run};
use perch_testkit::{Client, Models, PerchProcess, wait};
use serde_json::{Value, json};

use crate::PERCH;

const GOOD: &str = r#"{"model": "external", "instances": [[1, 1, 1, 1]]}"#;

/// `perch serve` with a short drain, ready.
fn serve(models: &Models, drain: (&str, &str), arguments: &[&str]) -> PerchProcess {
    let models = models.path().to_str().expect("UTF-8");
    let listen = ["serve", "--models", models, "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut command = command(PERCH, &[&listen, arguments].concat());
    command.env("PERCH__SERVER__DRAIN__DELAY", drain.0).env("PERCH__SERVER__DRAIN__TIMEOUT", drain.1);
    // Longer than any test waits: what ends earlier was not ended by this.
    command.env("PERCH__SERVER__REQUEST_TIMEOUT", "60s");
    let perch = PerchProcess::spawn(&mut command);
    perch.wait_ready();
    perch
}

fn assert_log_is_json(perch: &PerchProcess) {
    let log = perch.log();
    assert!(!log.is_empty());
    for line in log {
        let line: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}")).expect("JSON");
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
}

fn logged(perch: &PerchProcess, message: &str) -> Option<Value> {
    let lines = perch.log();
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
}

/// What one client saw until it could not go on: right answers, and everything that must not be.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    failures: Vec<String>,
}

/// How long it goes on taking connections after it was told to end.
const DELAY: Duration = Duration::from_secs(1);
/// For so long a load balancer believes that it is ready. Well below that.
const BELIEVED: Duration = Duration::from_millis(300);

/// Sends until the server is unready, as behind a load balancer whose probe looks often.
fn balanced(address: SocketAddr, answered: Arc<AtomicU64>) -> JoinHandle<Seen> {
    std::thread::spawn(move || {
        let (mut client, mut seen) = (Client::new(address), Seen::default());
        loop {
            let probed = Instant::now();
            let ready = Client::new(address).try_request("GET", "/health/ready", &[], b"");
            if ready.map_or(true, |reply| reply.status != 200) {
                return seen;
            }
            for _ in 0..10 {
                if probed.elapsed() > BELIEVED {
                    break;
                }
                let failure = match client.try_request("POST", "/predict", &[], GOOD.as_bytes()) {
                    Ok(reply) if reply.status == 200 && reply.json()["predictions"] == json!([10.5]) => {
                        seen.answers += 1;
                        None
                    }
                    Ok(reply) => Some(reply.text().to_owned()),
                    Err(error) => Some(error.to_string()),
                };
                // One that was held up on its way until the server could be gone says nothing of it.
                seen.failures.extend(failure.filter(|_| probed.elapsed() < DELAY));
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

/// Sends until nobody listens any more. A connection that it had is not cut under it: it was told to close before.
fn stubborn(address: SocketAddr, answered: Arc<AtomicU64>) -> JoinHandle<Seen> {
    std::thread::spawn(move || {
        let (mut client, mut seen) = (Client::new(address), Seen::default());
        loop {
            if client.connect().is_err() {
                return seen;
            }
            match client.try_request("POST", "/predict", &[], GOOD.as_bytes()) {
                Ok(reply) if reply.status == 200 && reply.json()["predictions"] == json!([10.5]) => seen.answers += 1,
                Ok(reply) => seen.failures.push(reply.text().to_owned()),
                // A new connection that was made in the very last moment: nothing of an answer was sent on it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => seen.failures.push(error.to_string()),
                Err(_) if Client::new(address).connect().is_err() => return seen,
                Err(error) => seen.failures.push(error.to_string()),
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    })
}

fn assert_no_request_fails(client: fn(SocketAddr, Arc<AtomicU64>) -> JoinHandle<Seen>) {
    let delay = format!("{}s", DELAY.as_secs());
    let mut perch = serve(&Models::with(&["external"]), (&delay, "20s"), &[]);
    let answered = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..6).map(|_| client(perch.address(), answered.clone())).collect();
    wait::until_true("load", || answered.load(Ordering::Relaxed) > 300);
    let began = Instant::now();
    perch.signal("TERM");
    let status = perch.wait();
    let took = began.elapsed();
    for client in clients {
        let seen = client.join().expect("a client");
        let (first, count) = (seen.failures.first(), seen.failures.len());
        assert_eq!(first, None, "{count} failures and {} right answers", seen.answers);
        assert!(seen.answers > 0);
    }
    assert_eq!(status.code(), Some(0));
    assert!(took >= DELAY, "load balancers were given no time to notice: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_log_is_json(&perch);
    assert_eq!(logged(&perch, "stopped").map(|line| line["clean"].clone()), Some(json!(true)));
}

#[test]
fn no_request_fails_behind_a_load_balancer_when_it_is_told_to_end() {
    assert_no_request_fails(balanced);
}

#[test]
fn no_answer_is_cut_for_clients_that_go_on_until_the_end() {
    assert_no_request_fails(stubborn);
}

#[test]
fn it_is_unready_at_once_and_asks_clients_to_go_elsewhere() {
    let mut perch = serve(&Models::with(&["external"]), ("8s", "20s"), &[]);
    let mut kept = perch.client();
    assert!(!kept.post(GOOD).closes());
    let idle = {
        let mut idle = perch.client();
        assert_eq!(idle.post(GOOD).status, 200);
        idle
    };
    perch.signal("TERM");
    wait::until_true("unready", || perch.client().get("/health/ready").status == 503);
    let reply = kept.post(GOOD);
    assert!(reply.status == 200 && reply.closes(), "{:?}", reply.headers);
    assert_eq!(perch.client().get("/health/live").status, 200);
    assert_eq!(perch.wait().code(), Some(0), "a connection that idles does not hold it up");
    drop(idle);
}

#[test]
fn a_request_that_runs_is_answered_before_the_end() {
    let mut perch = serve(&Models::with(&["heavy"]), ("0s", "60s"), &[]);
    let body = json!({"instances": vec![[1, 2, 3, 6]; 256]}).to_string();
    let mut client = perch.client();
    client.send(&request("POST", "/predict", &[], body.as_bytes())).expect("sent");
    wait::until_true("it runs", || perch.client().get("/metrics").text().contains("perch_requests_in_flight 1"));
    perch.signal("TERM");
    let reply = client.receive().expect("whole").expect("an answer");
    assert_eq!(reply.ok()["predictions"].as_array().map(Vec::len), Some(256));
    assert_eq!(perch.wait().code(), Some(0));
}

#[test]
fn a_model_that_never_ends_does_not_keep_it_from_ending() {
    let mut perch = serve(&Models::with(&["loop"]), ("0s", "2s"), &[]);
    let mut client = perch.client();
    let endless = r#"{"instances": [1000000000000]}"#;
    client.send(&request("POST", "/predict", &[], endless.as_bytes())).expect("sent");
    wait::until_true("it runs", || perch.client().get("/metrics").text().contains("perch_requests_in_flight 1"));
    let began = Instant::now();
    perch.signal("TERM");
    let status = perch.wait();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    // The request's own timeout was not waited for.
    assert!(took < Duration::from_secs(30), "{took:?}");
    let stopped = logged(&perch, "stopped").expect("a last line");
    assert_eq!(stopped["clean"], false, "{stopped}");
}

#[test]
fn an_interrupt_ends_it_too() {
    let mut perch = serve(&Models::with(&["external"]), ("0s", "5s"), &[]);
    perch.signal("INT");
    assert_eq!(perch.wait().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let models = Models::with(&["external"]);
    let perch = serve(&models, ("0s", "5s"), &[]);
    let address = perch.address().to_string();
    let folder = models.path().to_str().expect("UTF-8");
    let ended = run(&mut command(PERCH, &["serve", "--models", folder, "--listen", &address]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("server.listen") && ended.stderr.contains(&address), "{}", ended.stderr);
    assert_eq!(perch.client().post(GOOD).status, 200, "the first one goes on");
}

#[test]
fn a_missing_runtime_library_is_69_and_says_what_to_run() {
    let models = Models::with(&["external"]);
    let folder = models.path().to_str().expect("UTF-8");
    let serve = ["serve", "--models", folder, "--listen", "127.0.0.1:0"];
    let mut configured = command(PERCH, &serve);
    configured.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    let mut unfit = command(PERCH, &serve);
    models.write("no_library.so", b"this is no library");
    unfit.env("ORT_DYLIB_PATH", models.path().join("no_library.so"));
    // Far from any checkout, where there is none to be found.
    let lonely = tempfile::tempdir().expect("a folder");
    let binary = lonely.path().join("perch");
    std::fs::copy(PERCH, &binary).expect("copied");
    let mut absent = command(binary.to_str().expect("UTF-8"), &serve);
    absent.current_dir(lonely.path()).env_remove("ORT_DYLIB_PATH");
    for command in [&mut configured, &mut unfit, &mut absent] {
        let ended = run(command);
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.stderr.contains("scripts/onnxruntime"), "{}", ended.stderr);
    }
}

#[test]
fn a_wrong_configuration_is_64_and_everything_wrong_is_listed() {
    let models = Models::with(&[]);
    models.write("perch.yaml", b"server: {maxBody: lots, lissten: x}\nregistry: {path: .}\n");
    let file = models.path().join("perch.yaml");
    let mut command = command(PERCH, &["serve", "--config", file.to_str().expect("UTF-8"), "--listen", "nowhere"]);
    let ended = run(command.env("PERCH__SERVER__DRAIN__DELAY", "soon").env("PERCH__NONSENSE__KEY", "1"));
    assert_eq!(ended.code, Some(64), "{ended:?}");
    for piece in
        ["server.maxBody", "perch.yaml:1", "lissten", "--listen", "PERCH__SERVER__DRAIN__DELAY", "PERCH__NONSENSE__KEY"]
    {
        assert!(ended.stderr.contains(piece), "{piece} is not in {}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
}
