//! What all readers have to stand.

use super::*;

/// What reading `json` gives, whoever reads it.
fn read_by_all(json: &str) -> Vec<(&'static str, Result<()>)> {
    let json = json.as_bytes();
    vec![
        ("embed", embed(json).map(|_| ())),
        ("embed_all", embed_all(json).map(|_| ())),
        ("rerank", rerank(json).map(|_| ())),
        ("similarity", similarity(json).map(|_| ())),
        ("tokenize", tokenize(json).map(|_| ())),
        ("decode", decode(json).map(|_| ())),
        ("embeddings", embeddings(json).map(|_| ())),
        ("classify", classify(json).map(|_| ())),
        ("root", root(json).map(|_| ())),
        ("looks_like_texts", looks_like_texts(json).map_or_else(|| Err(missing()), |_| Ok(()))),
    ]
}

fn missing() -> ApiError {
    ApiError::new(crate::error::Kind::InvalidInput, "no texts")
}

#[test]
fn brackets_are_not_followed_however_many_there_are() {
    const DEEP: usize = 100_000;
    let fields = ["inputs", "input", "texts", "query", "ids", "model", "parameters", "truncate", "dimensions", "other"];
    for (open, core, close) in [("[", "\"a\"", "]"), ("[", "1", "]"), ("{\"inputs\":", "\"a\"", "}"), ("[[", "", "")] {
        let deep = format!("{}{core}{}", open.repeat(DEEP), close.repeat(DEEP));
        for field in fields {
            for (reader, read) in read_by_all(&format!("{{\"{field}\": {deep}}}")) {
                assert!(read.is_err(), "{reader} takes it as {field}");
            }
        }
        for (reader, read) in read_by_all(&deep) {
            assert!(read.is_err(), "{reader} takes it");
        }
    }
}
