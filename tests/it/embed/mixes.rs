//! Random mixes of texts of all lengths, by clients that ask at the same time: whatever a text travels with, its
//! embedding is the same. The seed is printed where that is not so; `PERCH_MIX_SEED` repeats it, and `PERCH_MIXES` says
//! how many requests each client sends.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use perch_testkit::{Client, Reply};
use serde_json::{Value, json};

use super::{distance, post, vector, vectors};

const CLIENTS: u64 = 4;

/// Texts of one model with what they have to be.
pub struct Corpus<'c> {
    pub model: &'c str,
    pub texts: Vec<&'c str>,
    pub embeddings: Vec<&'c [f64]>,
    pub tolerance: f64,
    /// Whether each fits the model as it is: `/v1/embeddings` has no parameter to cut it.
    pub fits: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Embed,
    Floats,
    Base64,
}

impl How {
    fn ask(self, client: &mut Client, model: &str, texts: &[&str]) -> Reply {
        match self {
            Self::Embed => {
                // As it is in the corpus: what normalises does, what does not does not.
                let body = json!({"model": model, "inputs": texts, "truncate": true, "normalize": false});
                post(client, "/embed", &body)
            }
            Self::Floats => post(client, "/v1/embeddings", &json!({"model": model, "input": texts})),
            Self::Base64 => {
                let body = json!({"model": model, "input": texts, "encoding_format": "base64"});
                post(client, "/v1/embeddings", &body)
            }
        }
    }

    fn read(self, answer: &Value) -> Vec<Vec<f64>> {
        let rows = |read: fn(&Value) -> Vec<f64>| {
            let data = answer["data"].as_array().expect("a list").iter().enumerate();
            data.map(|(at, item)| {
                assert_eq!(item["index"], at, "in the order of the texts");
                read(&item["embedding"])
            })
            .collect()
        };
        match self {
            Self::Embed => vectors(answer),
            Self::Floats => rows(vector),
            Self::Base64 => rows(little_endian),
        }
    }
}

/// Float32 in base64, as OpenAI's client asks for it.
pub fn little_endian(text: &Value) -> Vec<f64> {
    let bytes = STANDARD.decode(text.as_str().expect("a text")).expect("base64");
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} bytes are no floats", bytes.len());
    numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
}

/// Sends so many mixes a client, of up to `most` texts each, and checks every embedding.
pub fn check(address: SocketAddr, corpus: &Corpus<'_>, requests: u64, most: usize) {
    let from = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let requests = from("PERCH_MIXES").unwrap_or(requests);
    let seed = from("PERCH_MIX_SEED").unwrap_or_else(|| fastrand::u64(..));
    let client = |number: u64| move || ask_all(address, corpus, requests, most, Rng::with_seed(seed ^ (number << 56)));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(client(number))).collect();
        let joined = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| format!("PERCH_MIX_SEED={seed}")).expect("a client"));
        joined.flatten().collect()
    });
    assert!(failures.is_empty(), "PERCH_MIX_SEED={seed}: {}: {:#?}", corpus.model, &failures[..failures.len().min(5)]);
}

fn ask_all(address: SocketAddr, corpus: &Corpus<'_>, requests: u64, most: usize, mut random: Rng) -> Vec<String> {
    let mut client = Client::new(address);
    let mut failures = Vec::new();
    // What a client without `normalize: false` gets is of length 1.
    let unit = corpus.embeddings.iter().all(|embedding| (super::norm(embedding) - 1.0).abs() < 1e-3);
    for request in 0..requests {
        let how = if unit { [How::Embed, How::Floats, How::Base64][random.usize(..3)] } else { How::Embed };
        let all = 0..corpus.texts.len();
        let allowed: Vec<usize> = all.filter(|at| matches!(how, How::Embed) || corpus.fits[*at]).collect();
        let mix: Vec<usize> = (0..random.usize(1..=most)).map(|_| allowed[random.usize(..allowed.len())]).collect();
        let texts: Vec<&str> = mix.iter().map(|at| corpus.texts[*at]).collect();
        let reply = how.ask(&mut client, corpus.model, &texts);
        if reply.status != 200 {
            failures.push(format!("request {request}, {how:?}, {mix:?}: {}: {}", reply.status, reply.text()));
            continue;
        }
        let rows = how.read(&reply.json());
        if rows.len() != mix.len() {
            failures.push(format!("request {request}, {how:?}, {mix:?}: {} embeddings", rows.len()));
        }
        for (at, row) in mix.iter().zip(&rows) {
            let distance = distance(row, corpus.embeddings[*at]);
            if distance.is_nan() || distance > corpus.tolerance {
                failures.push(format!("request {request}, {how:?}, {mix:?}: text {at} differs by {distance}"));
            }
        }
    }
    failures
}
