//! Commands and their errors.

use std::fs;

use serde_json::{Value, json};

use super::fake::Fake;
use super::{alice, assert_ended, history, perch, perch_as, view};
use crate::cli::rollout::options::Surroundings;

fn refusal(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "request_id": "r"}})
}

#[tokio::test]
async fn a_command_says_who_and_what_and_prints_what_is_so() {
    let mut paused = view("m", "paused");
    paused["pausedBy"] = json!("operator");
    let fake = Fake::with(vec![paused]).await;
    let line = "m: version 2 at 50 %, step 4 of 9, paused by operator\n";
    let me = json!("alice@laptop");
    for (arguments, what, body) in [
        (&["start", "m"][..], "start", json!({"who": me})),
        (&["promote", "m"], "promote", json!({"who": me})),
        (&["promote", "m", "--full"], "promote", json!({"full": true, "who": me})),
        (&["pause", "m", "--who", "bob"], "pause", json!({"who": "bob"})),
        (&["resume", "m"], "resume", json!({"who": me})),
        (&["abort", "m"], "abort", json!({"who": me})),
        (&["retry", "m"], "retry", json!({"who": me})),
        (&["retry", "m", "--force"], "retry", json!({"force": true, "who": me})),
        (&["weight", "m", "25"], "weight", json!({"weight": 25, "who": me})),
        (&["weight", "m", "0.25"], "weight", json!({"weight": 0.25, "who": me})),
    ] {
        let ended = perch(&fake.address, arguments).await;
        assert_eq!((ended.code, ended.out.as_str(), ended.messages.as_str()), (0, line, ""), "{arguments:?}");
        let asked = fake.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].what, format!("POST /admin/rollouts/m/{what}"));
        assert_eq!((&asked[0].body, &asked[0].if_match, &asked[0].token), (&body, &None, &None));
    }
    assert_ended(
        &perch(&fake.address, &["pause", "m", "--if-generation", "7", "--output", "json"]).await,
        0,
        &["\"pausedBy\": \"operator\""],
    );
    assert_eq!(fake.asked()[0].if_match.as_deref(), Some("\"7\""));
    // The only model need not be named.
    assert_ended(&perch(&fake.address, &["weight", "12.5"]).await, 0, &[line]);
    let asked: Vec<String> = fake.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked, ["GET /admin/rollouts", "POST /admin/rollouts/m/weight"]);
    // Who knows no name sends none.
    let nobody = Surroundings::default();
    assert_ended(&perch_as(&nobody, &["start", "m", "--server", &fake.address]).await, 0, &[]);
    assert_eq!(fake.asked()[0].body, json!({}));
}

#[tokio::test]
async fn wrong_usage_asks_nothing() {
    let fake = Fake::with(vec![view("m", "idle")]).await;
    for (arguments, piece) in [
        (&["weight", "m", "101"][..], "expected 0 to 100"),
        (&["weight", "m", "1.234"], "two decimals"),
        (&["weight"], "PERCENT"),
        (&["pause", "m", "--who", " "], "--who"),
        (&["pause", "m", "--if-generation", "x"], "--if-generation"),
        (&["pause", "m", "--token", "secret"], "--token"),
        (&["pause", "m", "--token-file", "/nowhere/token"], "/nowhere/token"),
        (&["get", "m", "--ca-cert", "/nowhere/ca"], "--ca-cert /nowhere/ca"),
        (&["history", "m", "--limit", "0"], "--limit"),
        (&["watch", "m", "--until", "never"], "promoted"),
        (&["watch", "m", "--version", "2"], "--until"),
        (&["watch", "m", "--timeout", "soon"], "--timeout"),
    ] {
        assert_ended(&perch(&fake.address, arguments).await, 64, &[piece]);
    }
    assert_ended(&perch("127.0.0.1:1", &["list"]).await, 64, &["--server 127.0.0.1:1"]);
    assert_eq!(fake.asked(), []);
}

#[tokio::test]
async fn a_token_comes_from_the_surroundings_or_a_file() {
    let fake = Fake::with(vec![view("m", "idle")]).await;
    let around = Surroundings { token: Some("one".into()), ..alice() };
    assert_ended(&perch_as(&around, &["get", "m", "--server", &fake.address]).await, 0, &["nothing is tried"]);
    assert!(fake.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer one")));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let arguments = ["list", "--server", &fake.address, "--token-file", file.to_str().expect("UTF-8")];
    fs::write(&file, "two\n").expect("written");
    assert_ended(&perch_as(&around, &arguments).await, 0, &[]);
    assert_eq!(fake.asked()[0].token.as_deref(), Some("Bearer two"));
    fs::write(&file, " \n").expect("written");
    assert_ended(&perch_as(&around, &arguments).await, 64, &["the file is empty"]);
}

#[tokio::test]
async fn refusals_are_passed_on_with_their_exit_codes() {
    let fake = Fake::with(vec![view("m", "idle")]).await;
    for (status, body, code, pieces) in [
        (
            401,
            refusal("unauthorized", "the token is missing"),
            1,
            &["the token is missing", "set PERCH_ADMIN_TOKEN"][..],
        ),
        (403, refusal("forbidden", "not from here"), 1, &["not from here"]),
        (
            404,
            refusal("not_found", "/admin is off: set server.adminToken"),
            1,
            &["/admin is off: set server.adminToken"],
        ),
        (409, refusal("stale_generation", "it is at 8, not at 7"), 1, &["it is at 8, not at 7"]),
        (409, refusal("refused", "nothing is\u{1b}[2J tried"), 1, &["nothing is [2J tried"]),
        (400, refusal("invalid_input", "weight: expected"), 64, &["weight: expected"]),
        (503, refusal("store_unavailable", "the store is away"), 69, &["the store is away"]),
        (502, json!("<html>Bad gateway</html>"), 1, &["502 Bad Gateway", "no answer of perch's", "<html>"]),
        (200, json!({"other": 1}), 1, &["not perch's JSON", "missing field `model`"]),
        (301, json!({}), 1, &["301"]),
    ] {
        fake.refuse(status, &body);
        for command in [&["pause", "m"][..], &["get", "m"]] {
            assert_ended(&perch(&fake.address, command).await, code, pieces);
        }
    }
    let around = Surroundings { token: Some("wrong".into()), ..alice() };
    fake.refuse(401, &refusal("unauthorized", "no"));
    let ended = perch_as(&around, &["list", "--server", &fake.address]).await;
    assert_ended(&ended, 1, &["PERCH_ADMIN_TOKEN", "is not the server's"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_missing() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    for arguments in [&["list"][..], &["abort"], &["abort", "m"], &["watch", "m"]] {
        let ended = perch(&closed, arguments).await;
        assert_ended(&ended, 69, &[&closed, "refused", "--server URL", "PERCH_SERVER"]);
    }
}

#[tokio::test]
async fn one_of_many_models_must_be_named() {
    let fake = Fake::with(vec![view("curve", "idle"), view("minilm", "idle")]).await;
    for arguments in [&["abort"][..], &["get"], &["watch"], &["history"], &["weight", "5"]] {
        assert_ended(&perch(&fake.address, arguments).await, 64, &["which model?", "curve, minilm"]);
    }
    assert!(fake.asked().iter().all(|asked| asked.what == "GET /admin/rollouts"));
    assert_ended(&perch(&fake.address, &["abort", "nobody"]).await, 1, &["no model of that name"]);
    let empty = Fake::with(Vec::new()).await;
    assert_ended(&perch(&empty.address, &["abort"]).await, 1, &["has no models"]);
    let listed = perch(&empty.address, &["list"]).await;
    assert_eq!((listed.code, listed.out.as_str()), (0, ""));
    assert!(listed.messages.contains("has no models"), "{listed:?}");
}

#[tokio::test]
async fn rollouts_are_listed() {
    let mut demoted = view("curve", "demoted");
    (demoted["reason"], demoted["step"], demoted["steps"]) = (json!("errors: 0.31"), json!(null), json!(null));
    let mut away = view("minilm", "progressing");
    away["store"] = json!({"state": "unavailable", "error": "gone"});
    let mut paused = view("rates", "paused");
    paused["pausedBy"] = json!("step");
    let views = vec![demoted, view("m", "progressing"), away, paused];
    let fake = Fake::with(views.clone()).await;
    let expected = "\
MODEL   STATE        STABLE  CANARY  WEIGHT  STEP  NOTE
curve   demoted      1       2       -       -     errors: 0.31
m       progressing  1       2       50 %    4/9   waiting for traffic
minilm  progressing  1       2       50 %    4/9   the store is unavailable
rates   paused       1       2       50 %    4/9   paused by its step
";
    assert_eq!(perch(&fake.address, &["list"]).await.out, expected);
    let listed = perch(&fake.address, &["list", "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(listed, json!({"rollouts": views}));
}

#[tokio::test]
async fn one_rollout_is_shown() {
    let fake = Fake::with(vec![view("m", "progressing")]).await;
    let pieces = ["m  progressing  1 → 2", "really 49.9 %", "0.4 %", "-1.2/7.6", "version 3 is demoted"];
    let ended = perch(&fake.address, &["get"]).await;
    assert_ended(&ended, 0, &pieces);
    assert!(!ended.out.contains('\u{1b}'), "{ended:?}");
    let asked: Vec<String> = fake.asked().into_iter().map(|asked| asked.what).collect();
    let expected = ["GET /admin/rollouts", "GET /admin/rollouts/m", "GET /admin/rollouts/m/history?limit=5"];
    assert_eq!(asked, expected);
    let ended = perch(&fake.address, &["get", "m", "--output", "json"]).await;
    let shown: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(shown, view("m", "progressing"));
}

#[tokio::test]
async fn what_happened_is_listed() {
    let fake = Fake::with(vec![view("m", "idle")]).await;
    let ended = perch(&fake.address, &["history", "m", "--limit", "7"]).await;
    assert_eq!(fake.asked()[0].what, "GET /admin/rollouts/m/history?limit=7");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = ended.out.lines().map(words).collect();
    assert_eq!(lines[0], "WHEN WHO FROM TO WHAT");
    assert!(
        lines[1].ends_with("judge progressing demoted version 3 is demoted: errors: 0.31 is above 0.01"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("2020-11-0"), "{lines:?}");
    assert!(lines[2].ends_with("registry - progressing -"), "{lines:?}");
    let ended = perch(&fake.address, &["history", "m", "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).expect("JSON"), history());
}
