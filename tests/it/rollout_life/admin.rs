//! `/admin/rollouts` of the real server: every command in every state, and the stream of events.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use perch_testkit::{Client, wait};
use serde_json::{Value, json};

use super::traffic::assert_all;
use super::{Admin, MODEL, Site, policy, traffic};

const HELD: &str = "[{setWeight: 30}, {pause: {}}, {setWeight: 60}, {pause: {duration: 1h}}]";

/// Refused, with a reason, and nothing has changed.
#[track_caller]
fn assert_refused(admin: &Admin, command: &str, body: &Value) {
    let before = admin.view();
    let (code, message) = admin.post(command, body).error(409);
    assert_eq!(code, "refused", "{command}: {message}");
    assert!(message.len() > 10, "{command}: {message}");
    assert_eq!(admin.view()["generation"], before["generation"], "{command}");
}

#[test]
fn commands_mean_what_they_say_in_each_state() {
    let site = Site::new(&(policy(HELD) + "    scaleDownDelay: 1h\n"));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait("stable is known", |view| view["stable"]["version"] == "1");
    let weight = json!({"weight": 12.25});
    for command in ["start", "promote", "pause", "resume", "retry"] {
        assert_refused(&admin, command, &Value::Null);
    }
    assert_refused(&admin, "promote", &json!({"full": true}));
    assert_refused(&admin, "retry", &json!({"force": true}));
    assert_refused(&admin, "weight", &weight);
    assert_eq!(admin.say("abort")["state"], "idle", "there is nothing to take out");

    site.models.set_alias(MODEL, "canary", 2);
    admin.wait_state("paused");
    for command in ["start", "retry"] {
        assert_refused(&admin, command, &Value::Null);
    }
    assert_eq!(admin.say("pause")["pausedBy"], "step");
    let view = admin.say("resume");
    assert_eq!((&view["state"], &view["weight"], &view["step"]), (&json!("progressing"), &json!(60.0), &json!(4)));
    assert_eq!(admin.say("resume")["state"], "progressing", "it goes on already");
    let view = admin.say("pause");
    assert_eq!(
        (&view["state"], &view["pausedBy"], &view["weight"]),
        (&json!("paused"), &json!("operator"), &json!(60.0))
    );
    let view = admin.post("weight", &weight).ok();
    assert_eq!((&view["state"], &view["weight"]), (&json!("paused"), &json!(12.25)));
    assert_eq!(admin.say("resume")["state"], "progressing");
    let view = admin.say("promote");
    assert_eq!(view["state"], "promoted", "{view}");
    admin.wait("the alias has arrived", |view| view["stable"]["version"] == "2");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    admin.settled();
    for command in ["start", "promote", "pause", "resume", "retry"] {
        assert_refused(&admin, command, &Value::Null);
    }
    assert_refused(&admin, "weight", &weight);
    assert_all(&load.next(20), "2", "canary");
    let view = admin.say("abort");
    assert_eq!((&view["state"], &view["reason"]), (&json!("aborted"), &json!("operator")));
    assert_all(&load.next(50), "1", "stable");
    site.wait_aliases(&json!({"previous": 1, "stable": 1}));
    admin.wait("the alias has arrived", |view| view["stable"]["version"] == "1");
    admin.settled();
    assert_eq!(admin.say("abort")["generation"], admin.view()["generation"]);
    for command in ["promote", "pause", "resume"] {
        assert_refused(&admin, command, &Value::Null);
    }

    site.models.set_alias(MODEL, "canary", 3);
    admin.wait("version 3", |view| view["state"] == "paused" && view["canary"]["version"] == "3");
    load.poison(true);
    admin.wait_state("demoted");
    for command in ["start", "promote", "pause", "resume", "retry"] {
        assert_refused(&admin, command, &Value::Null);
    }
    assert_refused(&admin, "weight", &weight);
    assert_eq!(admin.say("abort")["state"], "demoted");
    load.poison(false);
    admin.post("retry", &json!({"force": true})).ok();
    admin.wait("again", |view| view["state"] == "paused");
    assert_eq!(admin.post("promote", &json!({"full": true})).ok()["state"], "promoted");
    load.end();
    let history = admin.history();
    assert!(history.iter().any(|row| row["who"] == "operator:alice"), "{history:?}");
    assert!(history.iter().any(|row| row["who"] == "operator:unnamed"), "{history:?}");
}

#[test]
fn requests_are_checked_and_generations_compared() {
    let site = Site::new(&policy(HELD));
    site.models.set_alias(MODEL, "canary", 2);
    let perch = site.ready();
    let admin = Admin::of(&perch);
    let view = admin.wait_state("paused");
    let generation = view["generation"].as_u64().expect("a number");
    let reply = admin.get(&admin.path(""));
    assert_eq!(reply.header("etag"), Some(&*format!("\"{generation}\"")));
    let with = |tag: &str| Admin::stored(|| admin.send("POST", &admin.path("/pause"), &[("if-match", tag)], ""));
    assert_eq!(with(&format!("\"{}\"", generation - 1)).error(409).0, "stale_generation");
    assert_eq!(with("seven").error(400).0, "invalid_input");
    assert_eq!(with(&format!("\"{generation}\"")).status, 200);
    for (command, body) in [
        ("weight", "{}"),
        ("weight", r#"{"weight": 100.5}"#),
        ("weight", r#"{"weight": 1.234}"#),
        ("weight", r#"{"weight": "many"}"#),
        ("pause", r#"{"full": true}"#),
        ("pause", "nonsense"),
        ("pause", r#"{"whom": "alice"}"#),
    ] {
        let reply = admin.send("POST", &admin.path(&format!("/{command}")), &[], body);
        assert_eq!(reply.error(400).0, "invalid_input", "{command} {body}");
    }
    let nobody = admin.clone().named("nobody");
    for path in ["", "/history", "/events"] {
        assert_eq!(nobody.get(&nobody.path(path)).error(404).0, "model_not_found", "{path}");
    }
    assert_eq!(nobody.post("pause", &Value::Null).error(404).0, "model_not_found");
    assert_eq!(admin.post("explode", &Value::Null).error(404).0, "not_found");
    assert_eq!(admin.get(&admin.path("/pause")).status, 405);
    let all = admin.get("/admin/rollouts").ok();
    assert_eq!(all["rollouts"][0]["model"], MODEL);
    let whole = Admin::stored(|| admin.get(&admin.path("/history"))).ok()["history"].take();
    let whole = whole.as_array().expect("rows").clone();
    let path = admin.path(&format!("/history?limit=1&before={}", whole[0]["generation"]));
    let page = Admin::stored(|| admin.get(&path)).ok();
    assert_eq!(page["history"], json!([whole[1]]));
    for query in ["limit=0", "limit=1001", "limit=x", "page=2"] {
        let reply = admin.get(&admin.path(&format!("/history?{query}")));
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
}

#[test]
fn who_may_steer_is_who_has_the_token() {
    let site = Site::new(&policy(HELD)).variable("PERCH_ADMIN_TOKEN", "the right one");
    let site = site.variable("PERCH__SERVER__ADMIN_TOKEN", "the right one");
    let perch = site.ready();
    let mut admin = Admin::of(&perch);
    assert_eq!(admin.get(&admin.path("")).error(401).0, "unauthorized");
    admin.token = Some("a wrong one".to_owned());
    assert_eq!(admin.post("abort", &Value::Null).error(401).0, "unauthorized");
    admin.token = Some("the right one".to_owned());
    assert_eq!(admin.wait_state("idle")["model"], MODEL);
    perch.stop();
    let perch = Site::new(&policy(HELD)).ready();
    let elsewhere = Client::new(perch.address()).request("POST", &format!("/admin/rollouts/{MODEL}/abort"), &[], b"");
    assert_eq!(elsewhere.error(403).0, "forbidden", "another host's name");
    drop(perch);
    let site = Site::new(&policy(HELD)).argument("--listen=0.0.0.0:0");
    let mut command = site.command();
    let arguments: Vec<String> =
        site.serve().into_iter().filter(|argument| argument != "127.0.0.1:0" && argument != "--listen").collect();
    command = {
        let mut fresh =
            perch_testkit::process::command(crate::PERCH, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        fresh.envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        fresh
    };
    let perch = perch_testkit::PerchProcess::spawn(&mut command);
    let address = SocketAddr::from(([127, 0, 0, 1], perch.address().port()));
    let reply = Client::new(address).request("GET", "/admin/rollouts", &[], b"");
    assert!(reply.error(404).1.contains("/admin is off"), "{}", reply.text());
}

/// Events of a stream, each with when it came.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(address: SocketAddr, path: &str, header: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(wait::LONG)).expect("set");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").expect("sent");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while stream.read_line(&mut head).expect("a head") > 2 {}
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("content-encoding"), "{head}");
        Self(stream)
    }

    /// The next view; none at the stream's end.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("one line of JSON"));
            }
        }
    }

    fn until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let view = self.next().ok_or_else(|| format!("the stream ended before {what}")).expect("an event");
            if condition(&view) {
                return view;
            }
        }
    }
}

#[test]
fn events_come_at_once_and_end_with_the_server() {
    let site = Site::new(&policy(HELD));
    let mut perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("idle");
    let began = Instant::now();
    let mut one = Events::open(perch.address(), &admin.path("/events"), "accept-encoding: gzip\r\n");
    let mut all = Events::open(perch.address(), "/admin/rollouts/events", "");
    assert_eq!(one.next().expect("an event")["state"], "idle");
    assert_eq!(all.next().expect("an event")["state"], "idle");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    site.models.set_alias(MODEL, "canary", 2);
    for events in [&mut one, &mut all] {
        events.until("a pause", |view| view["state"] == "paused" && view["weight"] == json!(30.0));
    }
    let before = one.next().expect("one a second")["metrics"][0]["n"].as_u64();
    one.until("more executions", |view| view["metrics"][0]["n"].as_u64() > before);
    let resumed = Instant::now();
    admin.say("resume");
    one.until("60 %", |view| view["weight"] == json!(60.0));
    assert!(resumed.elapsed() < Duration::from_secs(2), "{:?}", resumed.elapsed());
    load.end();
    let stopping = Instant::now();
    perch.signal("TERM");
    assert!(perch.wait().success(), "{:?}", perch.log());
    assert!(stopping.elapsed() < Duration::from_secs(10), "listeners hold nothing up: {:?}", stopping.elapsed());
    while one.next().is_some() {}
    while all.next().is_some() {}
}
