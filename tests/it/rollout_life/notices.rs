//! What people and programs are told: in order, once, and also when nobody listened at first.

use std::fs;

use perch_testkit::wait;
use serde_json::{Value, json};

use super::receiver::{Receiver, Told};
use super::{Admin, MODEL, Site, policy, steps, traffic};

fn told_to(receiver: &Receiver) -> String {
    let (slack, hook) = (receiver.url("/slack/secret"), receiver.url("/hook"));
    format!("notifications:\n- {{type: slack, url: \"{slack}\"}}\n- {{type: webhook, url: \"{hook}\"}}\n")
}

fn occasions(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.body["occasion"].as_str().expect("an occasion")).collect()
}

#[test]
fn receivers_that_were_down_are_told_everything_in_order_and_once() {
    let address = Receiver::start().address();
    let down = format!("http://{address}");
    let on = format!(
        "notifications:\n- {{type: slack, url: \"{down}/slack/secret\"}}\n- {{type: webhook, url: \"{down}/hook\"}}\n"
    );
    let site = Site::new(&(steps("1s") + &on));
    let audit = site.file("audit.jsonl");
    let site = site.variable("PERCH__ROLLOUTS__AUDIT_LOG", audit.to_str().expect("UTF-8"));
    let perch = site.ready();
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 2);
    admin.wait("it has settled", |view| view["state"] == "idle" && view["stable"]["version"] == "2");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    site.models.set_alias(MODEL, "canary", 3);
    load.poison(true);
    admin.wait_state("demoted");
    let receiver = Receiver::at(address);
    let hook = receiver.wait("/hook", 4);
    let slack = receiver.wait("/slack/secret", 4);
    assert_eq!(occasions(&hook), ["started", "promoted", "started", "demoted"]);
    let words = ["started: version 2", "promoted: version 2", "started: version 3", "demoted: version 3"];
    for (told, word) in slack.iter().zip(words) {
        assert!(told.body["text"].as_str().is_some_and(|text| text.contains(word) && text.contains(MODEL)), "{told:?}");
        assert!(told.body["blocks"].is_array(), "{told:?}");
    }
    for (told, version) in hook.iter().zip(["2", "2", "3", "3"]) {
        let body = &told.body;
        assert_eq!((&body["model"], &body["version"]), (&json!(MODEL), &json!(version)), "{body}");
        let rollout = body["rollout"].as_str().expect("an id");
        let (generation, occasion) = (&body["generation"], body["occasion"].as_str().expect("a text"));
        assert!(told.key.starts_with(&format!("{rollout}/{generation}/{occasion}/webhook/")), "{told:?}");
    }
    assert!(hook[3].body["reason"].as_str().is_some_and(|reason| reason.starts_with("errors: ")), "{:?}", hook[3]);
    let mut keys: Vec<&String> = hook.iter().chain(&slack).map(|told| &told.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 8, "a key of its own for each");
    assert!(!perch.log().iter().any(|line| line.contains("slack/secret")), "an address is a secret");
    load.end();

    let text = fs::read_to_string(&audit).expect("an audit log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let history = admin.history();
    assert_eq!(lines.len(), history.len(), "{text}");
    for (line, row) in lines.iter().zip(history.iter().rev()) {
        for key in ["generation", "at", "who", "from", "to", "what", "version"] {
            assert_eq!(line[key], row[key], "{line} and {row}");
        }
        assert_eq!(line["model"], MODEL);
    }
    assert_eq!(receiver.told().len(), 8, "nothing comes twice");
}

#[test]
fn a_receiver_that_fails_holds_back_only_what_is_its_own() {
    let (well, ill) = (Receiver::start(), Receiver::start());
    ill.answer(503);
    let on = format!(
        "notifications:\n- {{type: webhook, url: \"{}\", on: [started, aborted]}}\n- {{type: webhook, url: \"{}\"}}\n",
        well.url("/hook"),
        ill.url("/hook")
    );
    let site = Site::new(&(policy("[{setWeight: 10}, {pause: {}}]") + &on));
    let perch = site.ready();
    let admin = Admin::of(&perch);
    site.models.set_alias(MODEL, "canary", 2);
    admin.wait_state("paused");
    admin.say("abort");
    assert_eq!(occasions(&well.wait("/hook", 2)), ["started", "aborted"]);
    assert_eq!(ill.told(), []);
    ill.answer(200);
    assert_eq!(occasions(&ill.wait("/hook", 2)), ["started", "aborted"]);
}

#[test]
fn a_canary_that_is_superseded_is_told_as_what_it_was() {
    let receiver = Receiver::start();
    let site = Site::new(&(policy("[{setWeight: 10}, {pause: {}}]") + &told_to(&receiver)));
    let perch = site.ready();
    let admin = Admin::of(&perch);
    site.models.set_alias(MODEL, "canary", 2);
    let first = admin.wait_state("paused");
    site.models.set_alias(MODEL, "canary", 3);
    let second = admin.wait("version 3 is tried", |view| view["canary"]["version"] == "3" && view["state"] == "paused");
    assert_ne!(first["rollout"], second["rollout"]);
    let hook = receiver.wait("/hook", 3);
    assert_eq!(occasions(&hook), ["started", "aborted", "started"]);
    let aborted = &hook[1].body;
    assert_eq!((&aborted["version"], &aborted["rollout"]), (&json!("2"), &first["rollout"]), "{aborted}");
    assert_eq!(aborted["reason"], "superseded", "{aborted}");
    assert_eq!((&hook[2].body["version"], &hook[2].body["rollout"]), (&json!("3"), &second["rollout"]));
    let tags = wait::until("tags", || Some(site.tags("2")).filter(|tags| tags["perch.rollout.at"].is_string()));
    assert_eq!(tags["perch.rollout.reason"], "superseded");
}
