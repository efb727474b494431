//! Clients that ask, without a pause or steadily, and check every answer, on threads of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::json::close;
use crate::{Client, Reply, wait};

/// A request, and the right predictions by version.
pub struct Question {
    /// The body.
    pub body: String,
    /// `predictions`, by the version that the answer names.
    pub answers: BTreeMap<String, Value>,
}

impl Question {
    /// Says what is wrong with an answer, and which version gave it when nothing is.
    ///
    /// # Errors
    /// When it is no prediction, or a wrong one.
    pub fn check(&self, reply: &Reply) -> Result<String, String> {
        let wrong = |what: &str| format!("{what}: status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        let version = reply.header("x-perch-version").filter(|_| reply.status == 200).ok_or_else(|| wrong("failed"))?;
        let expected = self.answers.get(version).ok_or_else(|| wrong("an unknown version"))?;
        let body = reply.json();
        if body["version"] != version {
            return Err(wrong("another version in the body than in the headers"));
        }
        if !close(&body["predictions"], expected, 1e-6) {
            return Err(wrong(&format!("version {version} answers {expected}")));
        }
        Ok(version.to_owned())
    }
}

/// What all clients saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Right answers by version.
    pub answers: BTreeMap<String, u64>,
    /// Everything else.
    pub failures: Vec<String>,
}

/// Clients at work. They end when this is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Sets `clients` to work, each without a pause.
    pub fn start(address: SocketAddr, clients: usize, questions: Vec<Question>) -> Self {
        Self::run(address, clients, Duration::ZERO, questions)
    }

    /// Sets `clients` to work that ask so often a second, all together. One that falls behind makes up for it.
    pub fn paced(address: SocketAddr, clients: u32, per_second: u32, questions: Vec<Question>) -> Self {
        Self::run(address, clients as usize, Duration::from_secs(1) * clients / per_second, questions)
    }

    fn run(address: SocketAddr, clients: usize, every: Duration, questions: Vec<Question>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let questions = Arc::new(questions);
        let client = |number: usize| {
            let (stop, answered, questions) = (stop.clone(), answered.clone(), questions.clone());
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut tally = Tally::default();
                let mut due = Instant::now();
                for question in questions.iter().cycle().skip(number) {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += every;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let reply = client.try_request("POST", "/predict", &[], question.body.as_bytes());
                    let checked = reply.map_err(|error| error.to_string()).and_then(|reply| question.check(&reply));
                    match checked {
                        Ok(version) => *tally.answers.entry(version).or_default() += 1,
                        Err(failure) => tally.failures.push(failure),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                tally
            })
        };
        let threads = (0..clients).map(client).collect();
        Self { stop, answered, threads }
    }

    /// Requests that have ended so far, one way or the other.
    pub fn count(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests have ended.
    pub fn wait_more(&self, requests: u64) {
        let before = self.count();
        wait::until_true("more answers", || self.count() >= before + requests);
    }

    /// Ends the clients.
    pub fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for thread in self.threads.drain(..) {
            let tally = thread.join().expect("a client");
            all.failures.extend(tally.failures);
            for (version, count) in tally.answers {
                *all.answers.entry(version).or_default() += count;
            }
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
