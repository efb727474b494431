//! Texts of random lengths for a while: what is resident does not grow, the runtime's arenas included.
//!
//! 25 seconds, or as many as `PERCH_SOAK_SECONDS` says: `make soak-embed` takes half an hour. How many texts share a run
//! depends on what runs cost, and on a busy machine the largest may come late: in seconds they are kept small, what is
//! asked is counted in requests as well, and only what a leak of some 200 KiB a request would add is too much.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use perch_testkit::minilm::{self, NAME};
use perch_testkit::process::command;
use perch_testkit::{Client, PerchProcess};
use serde_json::json;

use super::{PATIENT, embed};
use crate::PERCH;

const CLIENTS: u64 = 4;
/// Arenas grow with the largest runs that they have seen, and those have to come first: what is resident is judged after
/// so many requests and while as many again are answered, however long a busy machine takes for them.
const REQUESTS: u64 = 150;
const SAMPLES: u32 = 144;

/// How long, how much at a time, and what may be added from the beginning of what is judged to its end, and between its
/// lowest and its highest, as shares.
struct Soak {
    lasts: Duration,
    rows_in_a_run: usize,
    texts_in_a_request: usize,
    growth: f64,
    spread: f64,
}

impl Soak {
    fn from_environment() -> Self {
        match std::env::var("PERCH_SOAK_SECONDS") {
            Ok(seconds) => Self {
                lasts: Duration::from_secs(seconds.parse().expect("a number")),
                rows_in_a_run: 64,
                texts_in_a_request: 12,
                growth: 0.04,
                spread: 0.12,
            },
            Err(_) => Self {
                lasts: Duration::from_secs(25),
                rows_in_a_run: 4,
                texts_in_a_request: 6,
                growth: 0.10,
                spread: 0.15,
            },
        }
    }
}

/// `count` texts of 1 to `most` words.
fn texts(random: &mut fastrand::Rng, count: usize, most: usize) -> Vec<String> {
    const WORDS: [&str; 8] = ["perch", "water", "of", "rollout", "embedding", "the", "Zürich", "thermodynamics"];
    let text = |random: &mut fastrand::Rng| {
        let words: Vec<&str> = (0..random.usize(1..=most)).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        words.join(" ")
    };
    (0..count).map(|_| text(random)).collect()
}

fn ask_until(stop: &AtomicBool, answered: &AtomicU64, mut client: Client, texts_in_a_request: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let (count, most) = (random.usize(1..=texts_in_a_request), random.choice([3, 20, 80, 200]).expect("some"));
        let reply = embed(&mut client, &texts(&mut random, count, most), &json!({}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("few"))
}

/// What a process has resident, in MiB.
fn resident(perch: &PerchProcess) -> f64 {
    let kib = perch.resident_memory().expect("/proc: this test needs Linux") >> 10;
    f64::from(u32::try_from(kib).expect("below 4 TiB")) / 1024.0
}

/// Growth from one end to the other by the median slope of all pairs: single jumps, up or down, do not decide.
fn growth(samples: &[f64]) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    for (from, first) in samples.iter().enumerate() {
        for (by, second) in samples[from + 1..].iter().enumerate() {
            slopes.push((second - first) / float(by + 1));
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes[slopes.len() / 2] * float(samples.len() - 1)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures that `make soak-embed` is run for")]
fn memory_is_flat_under_texts_of_random_lengths() {
    let Soak { lasts, rows_in_a_run, texts_in_a_request, growth: may_grow, spread } = Soak::from_environment();
    let (models, dir) = (minilm::models_fp32(), tempfile::tempdir().expect("a folder"));
    let config = dir.path().join("perch.yaml");
    let yaml = format!(
        "server: {{requestTimeout: {PATIENT}, drain: {{delay: 0s}}}}\nmodels: [{{name: {NAME}, batching: {{maxRows: {rows_in_a_run}, maxQueue: {PATIENT}}}}}]\n"
    );
    std::fs::write(&config, yaml).expect("written");
    let [config, path] = [&config, models.path()].map(|path| path.to_str().expect("UTF-8"));
    let arguments = ["serve", "--config", config, "--models", path, "--listen", "127.0.0.1:0", "--log-format", "json"];
    let perch = PerchProcess::spawn(&mut command(PERCH, &arguments));
    perch.wait_ready();
    let begin = resident(&perch);
    // The largest first: as long as the model takes, as many as share a run.
    let mut client = perch.client();
    for count in [1, 4, 16, 32] {
        assert_eq!(embed(&mut client, &vec!["word ".repeat(300); count], &json!({})).status, 200);
    }
    let (stop, answered, seed) = (AtomicBool::new(false), AtomicU64::new(0), fastrand::u64(..));
    println!("seed {seed}; {begin:.1} MiB when ready, {:.1} MiB after the largest texts", resident(&perch));
    let (mut samples, mut warm) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, answered, client) = (&stop, &answered, perch.client());
                scope.spawn(move || ask_until(stop, answered, client, texts_in_a_request, seed ^ (number << 56)))
            })
            .collect();
        let failed = || clients.iter().any(ScopedJoinHandle::is_finished);
        let began = Instant::now();
        while !failed() && (began.elapsed() < lasts * 2 / 5 || answered.load(Ordering::Relaxed) < REQUESTS) {
            std::thread::sleep(Duration::from_millis(100));
        }
        warm = answered.load(Ordering::Relaxed);
        let (began, judged) = (Instant::now(), lasts * 3 / 5);
        while !failed() && (began.elapsed() < judged || answered.load(Ordering::Relaxed) < warm + REQUESTS) {
            std::thread::sleep(judged / SAMPLES);
            samples.push(resident(&perch));
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("every text is embedded"));
    });
    let judged = samples.as_slice();
    let (low, high) = (judged.iter().copied().fold(f64::MAX, f64::min), judged.iter().copied().fold(0.0, f64::max));
    let grown = growth(judged);
    let shown: Vec<String> =
        samples.iter().step_by(samples.len().div_ceil(12)).map(|mib| format!("{mib:.0}")).collect();
    let more = answered.load(Ordering::Relaxed) - warm;
    let report =
        format!("{warm} requests, then {more}; MiB: {}: {low:.1} to {high:.1}, growth {grown:+.2}", shown.join(" "));
    println!("{report}");
    assert!(grown < may_grow * low, "it grows: {report}");
    assert!(high < low * (1.0 + spread), "it goes up and down: {report}");
    assert!(judged.iter().any(|mib| *mib > 100.0), "MiniLM's weights are 90 MB: {report}");
}
