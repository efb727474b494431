//! `perch rollout …` as processes, against the real server.

use std::process::Stdio;

use perch_testkit::process::{Ended, command, run};
use perch_testkit::wait;
use serde_json::{Value, json};

use super::{Admin, MODEL, Site, policy, traffic};
use crate::PERCH;
use crate::cli::{assert_ended, parsed};

const HELD: &str = "[{setWeight: 30}, {pause: {}}, {setWeight: 60}, {pause: {duration: 1h}}]";

fn rollout(admin: &Admin, arguments: &[&str]) -> Ended {
    let url = admin.url();
    let mut command = command(PERCH, &[&["rollout"], arguments, &["--server", &url]].concat());
    command.env("USER", "carol");
    // As `Admin` does: a PostgreSQL may be away for a moment.
    wait::until_ok("the store", || {
        let ended = run(&mut command);
        if ended.stderr.contains("it cannot be stored") { Err(ended.stderr) } else { Ok(ended) }
    })
}

#[test]
fn a_rollout_is_steered_from_the_command_line() {
    let site = Site::new(&(policy(HELD) + "    scaleDownDelay: 1h\n"));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    admin.wait_state("idle");
    assert_ended(&rollout(&admin, &["get", MODEL]), 0, &[MODEL]);
    assert_ended(&rollout(&admin, &["list"]), 0, &["MODEL", MODEL, "idle"]);
    assert_ended(&rollout(&admin, &["pause", MODEL]), 1, &["cannot pause"]);
    site.models.set_alias(MODEL, "canary", 2);
    admin.wait_state("paused");
    let view = parsed(&rollout(&admin, &["get", MODEL, "--output", "json"]));
    assert_eq!((&view["state"], &view["weight"]), (&json!("paused"), &json!(30.0)));
    assert_eq!(parsed(&rollout(&admin, &["list", "--output", "json"]))["rollouts"][0]["model"], MODEL);
    let stale = rollout(&admin, &["resume", MODEL, "--if-generation", "0"]);
    assert_ended(&stale, 1, &["generation"]);
    assert_ended(&rollout(&admin, &["weight", MODEL, "200"]), 64, &["0 to 100"]);
    assert_ended(&rollout(&admin, &["weight", MODEL, "12.5"]), 0, &["12.5 %"]);
    assert_ended(&rollout(&admin, &["pause"]), 0, &[MODEL]);
    let resumed = parsed(&rollout(&admin, &["resume", MODEL, "--output", "json"]));
    assert!(resumed["generation"].is_u64(), "{resumed}");
    assert_ended(&rollout(&admin, &["get", "nobody"]), 1, &["nobody"]);
    assert_ended(&rollout(&admin, &["retry", MODEL]), 1, &["already"]);
    let url = admin.url();
    let arguments =
        ["rollout", "watch", MODEL, "--server", &url, "--until", "promoted", "--timeout", "50s", "--output", "json"];
    let mut watching = command(PERCH, &arguments);
    let watching =
        watching.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    assert_ended(&rollout(&admin, &["promote", "--full", MODEL]), 0, &["version 2 is promoted"]);
    let output = watching.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let last = String::from_utf8(output.stdout).expect("UTF-8").lines().last().map(str::to_owned).expect("events");
    assert_eq!(serde_json::from_str::<Value>(&last).expect("JSON")["state"], "promoted");
    let wrong = rollout(&admin, &["watch", MODEL, "--until", "demoted", "--timeout", "1s"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    assert_ended(&rollout(&admin, &["abort", MODEL]), 0, &["aborted"]);
    // Stable goes back before anything else is tried: by somebody else's hand it would end that.
    site.wait_aliases(&json!({"previous": 1, "stable": 1}));
    admin.wait("the alias has arrived", |view| view["stable"]["version"] == "1");
    let history = rollout(&admin, &["history", MODEL]);
    assert_ended(&history, 0, &["WHO", "operator:carol@", "promoted"]);
    let rows = parsed(&rollout(&admin, &["history", MODEL, "--output", "json", "--limit", "2"]));
    assert_eq!(rows["history"].as_array().map(Vec::len), Some(2), "{rows}");
    site.models.set_alias(MODEL, "canary", 3);
    admin.wait("version 3", |view| view["canary"]["version"] == "3" && view["state"] == "paused");
    load.poison(true);
    admin.wait_state("demoted");
    load.poison(false);
    assert_ended(&rollout(&admin, &["retry", MODEL]), 1, &["quarantine"]);
    assert_ended(&rollout(&admin, &["retry", MODEL, "--force"]), 0, &[MODEL]);
    wait::until_true("it is tried", || admin.view()["state"] == "paused");
    load.end();
    perch.stop();
    assert_ended(&rollout(&admin, &["get", MODEL]), 69, &["127.0.0.1"]);
}

#[test]
fn a_policy_is_simulated_without_a_server() {
    let site = Site::new(&policy(HELD));
    let file = site.file("policy.yaml").display().to_string();
    let simulate = ["rollout", "simulate", "--error-rate", "20%", "--rate", "50", "--runs", "20"];
    let simulated = run(&mut command(PERCH, &[&simulate[..], &["--policy", &file, "--output", "json"]].concat()));
    assert_eq!(simulated.code, Some(0), "{simulated:?}");
    assert!(parsed(&simulated).is_object(), "{simulated:?}");
    assert_eq!(run(&mut command(PERCH, &[&simulate[..], &["--policy", "/nowhere.yaml"]].concat())).code, Some(64));
}
