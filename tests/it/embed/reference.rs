//! MiniLM against a computation in float64: every text alone, all in one request, and in random mixes.

use perch_testkit::minilm::{NAME, Reference};
use serde_json::json;

use super::mixes::{self, Corpus};
use super::{TOLERANCE, assert_near, embed, norm, shared, vectors};

/// The texts of the reference that are texts: one is empty, which is an error.
fn texts() -> Vec<&'static str> {
    let texts: Vec<&str> = Reference::get().texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    assert_eq!(texts.len(), 43);
    texts
}

#[test]
fn every_text_alone_is_as_the_reference() {
    let (server, reference) = (shared(), Reference::get());
    let mut client = server.client();
    for text in texts() {
        let rows = vectors(&embed(&mut client, &[text], &json!({})).ok());
        assert_eq!((rows.len(), rows[0].len()), (1, 384));
        assert_near(&rows[0], reference.of(text), TOLERANCE, text);
        assert!((norm(&rows[0]) - 1.0).abs() < 1e-5, "{text}: of length {}", norm(&rows[0]));
    }
}

#[test]
fn all_texts_in_one_request_are_as_the_reference_and_in_their_order() {
    let (server, reference) = (shared(), Reference::get());
    let mut client = server.client();
    let mut texts = texts();
    for _ in 0..2 {
        let rows = vectors(&embed(&mut client, &texts, &json!({})).ok());
        assert_eq!(rows.len(), texts.len());
        for (row, text) in rows.iter().zip(&texts) {
            assert_near(row, reference.of(text), TOLERANCE, text);
        }
        texts.reverse();
    }
}

/// The same text many times in one request: rows are told apart by their place, not by what they are.
#[test]
fn a_text_that_comes_twice_is_answered_twice() {
    let (server, reference) = (shared(), Reference::get());
    let card = "That is a happy person";
    let texts = [card, "a", card, card];
    let rows = vectors(&embed(&mut server.client(), &texts, &json!({})).ok());
    assert_eq!(rows.len(), 4);
    for (row, text) in rows.iter().zip(texts) {
        assert_near(row, reference.of(text), TOLERANCE, text);
    }
}

#[test]
fn random_mixes_of_lengths_are_as_the_reference() {
    let (server, reference, texts) = (shared(), Reference::get(), texts());
    let corpus = Corpus {
        model: NAME,
        embeddings: texts.iter().map(|text| reference.of(text)).collect(),
        // None of these words is more than two tokens.
        fits: texts.iter().map(|text| text.split_whitespace().count() <= 100).collect(),
        texts,
        tolerance: TOLERANCE,
    };
    mixes::check(server.address(), &corpus, 6, 12);
}
