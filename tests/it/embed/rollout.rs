//! Embedders roll out like every other model: what the canary fails stable answers, and the texts of one answer have all
//! been embedded by one version.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use perch_testkit::minilm::{self, NAME, Reference};
use perch_testkit::{Client, Models, Reply, Rollout, TestServer, wait};
use serde_json::{Value, json};

use super::fixtures::cases;
use super::{PATIENT, TOLERANCE, assert_near, cosine, distance, embed, patient, post, vector, vectors, who};

const MODEL: &str = "toy_embedder";
/// What the broken fixtures cannot answer.
const WORD: &str = "write";
const ALL: &str = "strategy: {canary: {steps: [{setWeight: 100}, {pause: {}}]}}";
const HALF: &str = "strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
/// Judged by errors; a slow machine is none.
const ERRORS: &str = "analysis: {metrics: [{name: errors, type: error-rate, max: 0.01}]}";
const NEVER_OUT: &str = "analysis: {minFailures: 1000000, metrics: [{name: errors, type: error-rate, max: 0.01}]}";
const WAITS: &str = "routing: {fallback: {after: 30s}}";

fn started(models: Models, name: &str, policy: &[&str]) -> (TestServer, Rollout) {
    let policy: String = policy.iter().chain(&[WAITS]).map(|part| format!("    {part}\n")).collect();
    let yaml = format!("models:\n- name: {name}\n  batching: {{maxQueue: {PATIENT}}}\n  rollout:\n{policy}");
    let server = TestServer::builder(models).yaml(&yaml).set("server.requestTimeout", PATIENT).ready();
    let rollout = Rollout::of(server.address(), name);
    rollout.wait("the canary has weight", |view| view["ready"] == true && view["weight"] != 0.0);
    (server, rollout)
}

/// Version 2 of the fixture is stable. The canary, version 3, has the weights of version 1, and breaks on one word.
fn broken(fixture: &str, policy: &[&str]) -> (TestServer, Rollout) {
    let models = Models::with(&[MODEL]);
    models.copy_version(fixture, 1, MODEL, 3);
    models.set_alias(MODEL, "stable", 2);
    models.set_alias(MODEL, "canary", 3);
    started(models, MODEL, policy)
}

/// Texts with what each version answers; a broken one has no answer where the word is.
struct Expected {
    model: &'static str,
    stable: &'static str,
    texts: Vec<String>,
    by_version: BTreeMap<&'static str, Vec<Option<Vec<f64>>>>,
}

impl Expected {
    /// Of the fixture: versions 2 and 3 have other weights.
    fn new() -> Self {
        let plain = |version| -> Vec<&Value> {
            cases(MODEL, version).into_iter().filter(|case| case["prompt_name"].is_null()).collect()
        };
        let mut texts: Vec<String> =
            plain("1").iter().map(|case| case["text"].as_str().expect("a text").to_owned()).collect();
        let known = |version| plain(version).into_iter().map(|case| Some(vector(&case["embedding"])));
        let (mut stable, mut canary): (Vec<_>, Vec<_>) = (known("2").collect(), known("1").collect());
        let bad = ["write", "a perch can write", "who can read and write in paris?", "write write write"];
        // What stable makes of these is asked of a server that has nothing else.
        let models = Models::with(&[MODEL]);
        models.set_alias(MODEL, "stable", 2);
        let rows = vectors(&embed(&mut patient(models, &[MODEL]).client(), &bad, &json!({})).ok());
        texts.extend(bad.map(str::to_owned));
        stable.extend(rows.into_iter().map(Some));
        canary.extend(bad.map(|_| None));
        Self { model: MODEL, stable: "2", texts, by_version: BTreeMap::from([("2", stable), ("3", canary)]) }
    }

    /// Of MiniLM: both versions have the same weights, so that every answer is as the reference.
    fn minilm() -> Self {
        let mut texts = Reference::get().texts.clone();
        texts.retain(|text| (1..=40).contains(&text.split_whitespace().count()));
        let breaks = |text: &String| text.to_lowercase().contains("happy");
        let bad = texts.iter().filter(|text| breaks(text)).count();
        assert!(bad >= 2 && bad < texts.len() / 2, "{bad} of {}", texts.len());
        let of = |text: &String| Some(Reference::get().of(text).to_vec());
        let canary = texts.iter().map(|text| if breaks(text) { None } else { of(text) }).collect();
        let by_version = BTreeMap::from([("1", texts.iter().map(of).collect()), ("3", canary)]);
        Self { model: NAME, stable: "1", texts, by_version }
    }

    /// Which version has embedded these texts, all of them.
    fn check(&self, reply: &Reply, mix: &[usize]) -> Result<&'static str, String> {
        let wrong =
            |what: String| Err(format!("{what}: {} {}: {mix:?}", reply.status, String::from_utf8_lossy(&reply.body)));
        if reply.status != 200 {
            return wrong("failed".into());
        }
        let [model, version, track] = who(reply);
        let Some((version, expected)) = self.by_version.get_key_value(version) else {
            return wrong(format!("version {version}"));
        };
        if model != self.model || track != if *version == self.stable { "stable" } else { "canary" } {
            return wrong(format!("{model} {version} as {track}"));
        }
        let rows = vectors(&reply.json());
        if rows.len() != mix.len() {
            return wrong(format!("{} rows", rows.len()));
        }
        for (row, at) in rows.iter().zip(mix) {
            let near = |expected: &Vec<f64>| distance(row, expected) <= TOLERANCE;
            if !expected[*at].as_ref().is_some_and(near) {
                return wrong(format!("text {at} is not version {version}'s"));
            }
        }
        Ok(version)
    }
}

/// Four clients that ask for mixes of texts until the canary is out, and a little longer. Gives the answers by version.
fn ask_until_out(server: &TestServer, rollout: &Rollout, expected: &Expected) -> BTreeMap<&'static str, u64> {
    let (stop, seed) = (AtomicBool::new(false), fastrand::u64(..));
    let asked = AtomicU64::new(0);
    let ask = |number: u64| {
        let mut random = fastrand::Rng::with_seed(seed ^ (number << 56));
        let mut client = server.client();
        let mut answers = BTreeMap::<&'static str, u64>::new();
        while !stop.load(Ordering::Relaxed) {
            let mix: Vec<usize> = (0..random.usize(1..7)).map(|_| random.usize(..expected.texts.len())).collect();
            let texts: Vec<&str> = mix.iter().map(|at| expected.texts[*at].as_str()).collect();
            let reply = embed(&mut client, &texts, &json!({}));
            match expected.check(&reply, &mix) {
                Ok(version) => *answers.entry(version).or_default() += 1,
                Err(wrong) => {
                    stop.store(true, Ordering::Relaxed);
                    assert_eq!(wrong, "", "seed {seed}");
                }
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
        answers
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|number| scope.spawn(move || ask(number))).collect();
        let stopped = || stop.load(Ordering::Relaxed);
        wait::until_true("a demotion", || stopped() || rollout.view()["state"] == "demoted");
        let then = asked.load(Ordering::Relaxed);
        wait::until_true("answers afterwards", || stopped() || asked.load(Ordering::Relaxed) > then + 50);
        stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::<&'static str, u64>::new();
        for caller in callers {
            for (version, count) in caller.join().expect("a caller saw what it should not") {
                *all.entry(version).or_default() += count;
            }
        }
        all
    })
}

#[test]
fn a_canary_that_breaks_on_some_texts_is_demoted_and_no_caller_notices() {
    let expected = Expected::new();
    for (fixture, reason) in [("toy_embedder_nan", "invalid_output"), ("toy_embedder_fails", "error")] {
        let (server, rollout) = broken(fixture, &[ERRORS, HALF]);
        let answers = ask_until_out(&server, &rollout, &expected);
        let view = rollout.wait_state("demoted");
        assert!(answers.get("2") > Some(&50), "{fixture}: {answers:?}");
        assert!(view["fallbacks"][reason].as_u64() >= Some(3), "{fixture}: {view}");
        let metric = &view["metrics"][0];
        // The third decides; what the other clients had on their way then is counted too.
        assert!((3..=12).contains(&metric["bad"].as_u64().expect("a number")), "{fixture}: {view}");
        assert_eq!(view["weight"], 0.0, "{fixture}: {view}");
        let reply = embed(&mut server.client(), &[WORD, "a"], &json!({}));
        assert_eq!(who(&reply), [MODEL, "2", "stable"], "{fixture}");
        assert_eq!(reply.header("x-perch-fallback"), None, "{fixture}: nobody asks the canary any more");
    }
}

/// The same on the path of models that take long enough for threads of their own.
#[test]
fn a_minilm_that_breaks_on_some_texts_is_demoted_and_every_answer_is_as_the_reference() {
    let expected = Expected::minilm();
    for (fault, reason) in [("nan", "invalid_output"), ("fails", "error")] {
        let (server, rollout) = started(minilm::models_broken(fault), NAME, &[ERRORS, HALF]);
        let answers = ask_until_out(&server, &rollout, &expected);
        let view = rollout.wait_state("demoted");
        assert!(answers.get("1") > Some(&50), "{fault}: {answers:?}");
        assert!(view["fallbacks"][reason].as_u64() >= Some(3), "{fault}: {view}");
        assert!((3..=12).contains(&view["metrics"][0]["bad"].as_u64().expect("a number")), "{fault}: {view}");
    }
}

#[test]
fn a_canary_that_always_fails_runs_three_times() {
    let expected = Expected::new();
    for (fixture, reason) in [("toy_embedder_nan", "invalid_output"), ("toy_embedder_fails", "error")] {
        let (server, rollout) = broken(fixture, &[ERRORS, ALL]);
        let mut client = server.client();
        let bad = expected.texts.iter().position(|text| text == WORD).expect("one of them");
        for turn in 0..4 {
            let reply = embed(&mut client, &[WORD], &json!({}));
            assert_eq!(expected.check(&reply, &[bad]), Ok("2"), "{fixture}, request {turn}");
            let why = (turn < 3).then_some(reason);
            assert_eq!(reply.header("x-perch-fallback"), why, "{fixture}, request {turn}");
        }
        let view = rollout.wait_state("demoted");
        let metric = &view["metrics"][0];
        assert_eq!((&metric["n"], &metric["bad"]), (&json!(3), &json!(3)), "{fixture}: {view}");
    }
}

/// One text that the canary cannot answer, among others that it can: stable answers all of them.
#[test]
fn one_bad_text_takes_its_whole_request_to_stable() {
    let expected = Expected::new();
    let (server, _rollout) = broken("toy_embedder_nan", &[NEVER_OUT, ALL]);
    let mut client = server.client();
    let bad = expected.texts.len() - 1;
    for mix in [vec![0, 1, bad, 2], vec![bad, 0], (0..=bad).collect()] {
        let texts: Vec<&str> = mix.iter().map(|at| expected.texts[*at].as_str()).collect();
        let reply = embed(&mut client, &texts, &json!({}));
        assert_eq!(expected.check(&reply, &mix), Ok("2"));
        assert_eq!(reply.header("x-perch-fallback"), Some("invalid_output"), "{mix:?}");
        let good: Vec<usize> = mix.into_iter().filter(|at| expected.by_version["3"][*at].is_some()).collect();
        let texts: Vec<&str> = good.iter().map(|at| expected.texts[*at].as_str()).collect();
        let reply = embed(&mut client, &texts, &json!({}));
        assert_eq!(expected.check(&reply, &good), Ok("3"), "what it can answer it does");
        assert_eq!(reply.header("x-perch-fallback"), None);
    }
}

#[test]
fn every_endpoint_falls_back() {
    let plain = Models::with(&[MODEL]);
    plain.set_alias(MODEL, "stable", 2);
    let plain = patient(plain, &[MODEL]);
    let similarity = json!({"inputs": {"source_sentence": "a fish", "sentences": ["a perch can write", "a"]}});
    let requests = [
        ("/embed", json!({"inputs": ["a", "a perch can write"]})),
        ("/", json!({"inputs": "write"})),
        ("/embed_all", json!({"inputs": ["write"]})),
        ("/similarity", similarity),
        ("/v1/embeddings", json!({"model": MODEL, "input": ["write", "a"]})),
    ];
    for (fixture, reason) in [("toy_embedder_nan", "invalid_output"), ("toy_embedder_fails", "error")] {
        let (server, _rollout) = broken(fixture, &[NEVER_OUT, ALL]);
        for (path, body) in &requests {
            let reply = post(&mut server.client(), path, body);
            let expected = post(&mut plain.client(), path, body).ok();
            assert!(perch_testkit::json::close(&reply.ok(), &expected, 1e-5), "{fixture} {path}: {}", reply.text());
            assert_eq!(who(&reply), [MODEL, "2", "stable"], "{fixture} {path}");
            assert_eq!(reply.header("x-perch-fallback"), Some(reason), "{fixture} {path}");
        }
    }
}

/// A caller's mistake is the caller's, and no evidence against the canary.
#[test]
fn wrong_requests_are_not_the_canarys_fault() {
    let (server, rollout) = broken("toy_embedder_nan", &[ERRORS, ALL]);
    let mut client = server.client();
    for _ in 0..10 {
        assert_eq!(post(&mut client, "/embed", &json!({"inputs": ""})).status, 400);
        assert_eq!(post(&mut client, "/embed", &json!({"inputs": "a ".repeat(100)})).status, 422);
        assert_eq!(post(&mut client, "/embed", &json!({"inputs": "a", "prompt_name": "no"})).status, 422);
        assert_eq!(post(&mut client, "/embed", &json!({"inputs": "a", "dimensions": 9})).status, 422);
        assert_eq!(who(&embed(&mut client, &["a"], &json!({}))), [MODEL, "3", "canary"]);
    }
    let metric = rollout.wait_metric("errors", 10);
    assert_eq!(metric["bad"], 0, "{metric}");
    assert_eq!(rollout.view()["state"], "paused", "at its step, not demoted");
}

/// Asks MiniLM for some texts of the reference, and checks them by the version that answers.
fn ask_minilm(client: &mut Client, texts: &[&str]) -> String {
    let reply = embed(client, texts, &json!({}));
    let rows = vectors(&reply.ok());
    assert_eq!(rows.len(), texts.len());
    let version = who(&reply)[1].to_owned();
    for (row, text) in rows.iter().zip(texts) {
        let expected = Reference::get().of(text);
        match version.as_str() {
            "1" => assert_near(row, expected, TOLERANCE, text),
            // As examples/minilm says of int8; a little more, as here texts share their run.
            other => {
                assert_eq!(other, "2", "a version that there is");
                assert!(cosine(row, expected) > 0.95, "{text}: {}", cosine(row, expected));
            }
        }
    }
    assert_eq!(reply.header("x-perch-fallback"), None, "version 2 answers well");
    version
}

#[test]
fn minilm_in_int8_is_promoted() {
    const STEPS: &str = "strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 1s, minExecutions: 10}}, \
                         {setWeight: 100}, {pause: {duration: 1s}}, {promote: {moveAlias: true}}], scaleDownDelay: 1s}}";
    let models = minilm::models();
    models.set_alias(NAME, "canary", 2);
    let (server, rollout) = started(models, NAME, &[ERRORS, STEPS]);
    let short: Vec<&str> = Reference::get().texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let short: Vec<&str> = short.into_iter().filter(|text| text.split_whitespace().count() <= 30).collect();
    let (ended, seen) = (AtomicBool::new(false), std::sync::Mutex::new(BTreeMap::<String, u64>::new()));
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (ended, seen, short, server) = (&ended, &seen, &short, &server);
            scope.spawn(move || {
                let mut client = server.client();
                for at in (number..).step_by(2) {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let texts: Vec<&str> = (0..4).map(|more| short[(at + 5 * more) % short.len()]).collect();
                    let version = ask_minilm(&mut client, &texts);
                    *seen.lock().expect("no caller failed").entry(version).or_default() += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let promoted = wait::until("a promotion", || {
            let view = rollout.view();
            (view["state"] != "progressing" || seen.is_poisoned()).then_some(view)
        });
        wait::until_true("the old version goes", || seen.is_poisoned() || rollout.view()["state"] == "idle");
        ended.store(true, Ordering::Relaxed);
        assert!(promoted["state"] == "promoted" || promoted["state"] == "idle", "{promoted}");
    });
    let seen = seen.into_inner().expect("no caller failed");
    assert!(seen.len() == 2 && seen["1"] >= 5 && seen["2"] >= 10, "{seen:?}");
    server.wait_serving(NAME, "stable", 2);
    assert_eq!(ask_minilm(&mut server.client(), &["a"]), "2");
    let aliases = std::fs::read(server.path().join(NAME).join("aliases.json")).expect("aliases");
    let aliases: Value = serde_json::from_slice(&aliases).expect("JSON");
    assert_eq!(aliases, json!({"stable": 2, "previous": 1}));
}
