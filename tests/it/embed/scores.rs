//! Models that give scores: a classifier by `/predict`, a reranker by `/rerank`.

use perch_testkit::{Models, Reply, TestServer};
use serde_json::{Value, json};

use super::fixtures::cases;
use super::{assert_near, list, patient, post, vector};

const LABELS: [&str; 3] = ["negative", "neutral", "positive"];

fn server(model: &str) -> TestServer {
    patient(Models::with(&[model]), &[model])
}

/// The scores of one text by label, which came best first.
fn by_label(ranked: &Value) -> Vec<f64> {
    let ranked = list(ranked);
    let scores: Vec<f64> = ranked.iter().map(|one| one["score"].as_f64().expect("a score")).collect();
    assert!(scores.is_sorted_by(|one, two| one >= two), "the best first: {ranked:?}");
    assert!(ranked.iter().all(|one| one.as_object().map(serde_json::Map::len) == Some(2)), "{ranked:?}");
    let score = |label: &&str| ranked.iter().position(|one| one["label"] == *label).map(|at| scores[at]);
    LABELS.iter().map(|label| score(label).ok_or_else(|| format!("{label}: {ranked:?}")).expect("a score")).collect()
}

#[test]
fn a_classifier_answers_predict_with_its_labels() {
    let server = server("toy_classifier");
    let mut client = server.client();
    for case in cases("toy_classifier", "1") {
        for (raw, key) in [(false, "scores"), (true, "logits")] {
            let body = json!({"inputs": case["text"], "truncate": true, "raw_scores": raw});
            let answer = post(&mut client, "/predict", &body).ok();
            assert_near(&by_label(&answer), &vector(&case[key]), 1e-5, &body.to_string());
        }
        // The root is the same for a classifier.
        let answer = post(&mut client, "/", &json!({"inputs": case["text"], "truncate": true})).ok();
        assert_near(&by_label(&answer), &vector(&case["scores"]), 1e-5, &case["text"].to_string());
    }
}

/// A list in a list for each text: two strings in one list are a pair, as in text-embeddings-inference.
#[test]
fn a_classifier_answers_several_texts_in_their_order() {
    let server = server("toy_classifier");
    let cases = cases("toy_classifier", "1");
    let inputs: Vec<Value> = cases.iter().map(|case| json!([case["text"]])).collect();
    let answer = post(&mut server.client(), "/predict", &json!({"inputs": inputs, "truncate": true})).ok();
    assert_eq!(list(&answer).len(), cases.len());
    for (case, ranked) in cases.iter().zip(list(&answer)) {
        assert_near(&by_label(ranked), &vector(&case["scores"]), 1e-5, &case["text"].to_string());
    }
}

struct Ranking {
    query: &'static str,
    texts: Vec<&'static str>,
    scores: Vec<f64>,
    logits: Vec<f64>,
}

/// The texts of the reranker's cases that belong to its most common query.
fn ranking() -> Ranking {
    let cases = cases("toy_reranker", "1");
    let query = cases[0]["pair"][0].as_str().expect("a text");
    let of_query: Vec<&Value> = cases.into_iter().filter(|case| case["pair"][0] == query).collect();
    assert!(of_query.len() >= 2, "{query}");
    let first = |case: &&Value, key: &str| case[key][0].as_f64().expect("a number");
    Ranking {
        query,
        texts: of_query.iter().map(|case| case["pair"][1].as_str().expect("a text")).collect(),
        scores: of_query.iter().map(|case| first(case, "scores")).collect(),
        logits: of_query.iter().map(|case| first(case, "logits")).collect(),
    }
}

/// Every text once, the best first, each with its own score.
fn assert_ranked(reply: &Reply, expected: &[f64], texts: Option<&[&str]>) {
    let answer = reply.ok();
    let ranks = answer.as_array().expect("a list");
    assert_eq!(ranks.len(), expected.len(), "{answer}");
    let mut seen = vec![false; expected.len()];
    let mut last = f64::INFINITY;
    for rank in ranks {
        let at = usize::try_from(rank["index"].as_u64().expect("an index")).expect("small");
        assert!(!std::mem::replace(&mut seen[at], true), "twice: {answer}");
        let score = rank["score"].as_f64().expect("a score");
        assert_near(&[score], &[expected[at]], 1e-5, &answer.to_string());
        assert!(score <= last, "the best first: {answer}");
        last = score;
        match texts {
            Some(texts) => assert_eq!(rank["text"], texts[at], "{answer}"),
            None => assert_eq!(rank.get("text"), None, "{answer}"),
        }
    }
}

#[test]
fn a_reranker_scores_texts_by_their_query() {
    let server = server("toy_reranker");
    let mut client = server.client();
    let Ranking { query, texts, scores, logits } = ranking();
    let reply = post(&mut client, "/rerank", &json!({"query": query, "texts": texts}));
    assert_ranked(&reply, &scores, None);
    let reply = post(&mut client, "/rerank", &json!({"query": query, "texts": texts, "raw_scores": true}));
    assert_ranked(&reply, &logits, None);
    let reply = post(&mut client, "/rerank", &json!({"query": query, "texts": texts, "return_text": true}));
    assert_ranked(&reply, &scores, Some(&texts));
    // The root is the same for a reranker.
    assert_ranked(&post(&mut client, "/", &json!({"query": query, "texts": texts})), &scores, None);
    // Order of the texts, and how many there are, change no score.
    let turned: Vec<&str> = texts.iter().rev().chain(&texts).copied().collect();
    let expected: Vec<f64> = scores.iter().rev().chain(&scores).copied().collect();
    assert_ranked(&post(&mut client, "/rerank", &json!({"query": query, "texts": turned})), &expected, None);
}

#[test]
fn pairs_that_are_too_long_are_cut_as_the_reference_cuts_them() {
    let server = server("toy_reranker");
    let mut client = server.client();
    let long: Vec<&Value> = cases("toy_reranker", "1")
        .into_iter()
        .filter(|case| case["input_ids"].as_array().map(Vec::len) == Some(32))
        .collect();
    assert!(!long.is_empty());
    for case in long {
        let (query, text) = (&case["pair"][0], &case["pair"][1]);
        let reply = post(&mut client, "/rerank", &json!({"query": query, "texts": [text], "truncate": true}));
        assert_ranked(&reply, &vector(&case["scores"]), None);
    }
}
