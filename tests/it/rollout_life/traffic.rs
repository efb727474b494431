//! Steady clients that remember who answered them, and when.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use perch_testkit::{Client, wait};

use super::sorted_questions;

const CLIENTS: u32 = 2;

/// One right answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When its request was sent.
    pub sent: Instant,
    pub version: String,
    pub track: String,
    pub fallback: Option<String>,
}

#[derive(Default)]
struct Record {
    answers: Vec<Answer>,
    /// What went wrong, and when it ended.
    failures: Vec<(Instant, String)>,
}

/// Clients at work. They end when this is dropped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    poisoned: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// So many requests a second, which every version answers well.
    pub fn start(address: SocketAddr, per_second: u32) -> Self {
        let (stop, poisoned) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let record = Arc::<Mutex<Record>>::default();
        let every = Duration::from_secs(1) * CLIENTS / per_second;
        let client = |number: u32| {
            let (stop, poisoned, record) = (stop.clone(), poisoned.clone(), record.clone());
            std::thread::spawn(move || {
                let (good, bad) = sorted_questions();
                let (mut client, mut due) = (Client::new(address), Instant::now());
                for turn in number as usize.. {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += every;
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let questions = if poisoned.load(Ordering::SeqCst) { &bad } else { &good };
                    let question = &questions[turn % questions.len()];
                    let sent = Instant::now();
                    let reply = client.try_request("POST", "/predict", &[], question.body.as_bytes());
                    let checked = reply.map_err(|error| error.to_string()).and_then(|reply| {
                        let header = |name: &str| reply.header(name).map(str::to_owned);
                        let version = question.check(&reply)?;
                        let track = header("x-perch-track").ok_or("no track")?;
                        Ok(Answer { sent, version, track, fallback: header("x-perch-fallback") })
                    });
                    let mut record = record.lock().expect("no thread panics with it");
                    match checked {
                        Ok(answer) => record.answers.push(answer),
                        Err(failure) => record.failures.push((Instant::now(), failure)),
                    }
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { stop, poisoned, record, threads }
    }

    /// Rows from here on that version 3 answers with NaN, or no more of them.
    pub fn poison(&self, on: bool) {
        self.poisoned.store(on, Ordering::SeqCst);
    }

    /// Answers so far.
    pub fn answers(&self) -> Vec<Answer> {
        self.record.lock().expect("no thread panics with it").answers.clone()
    }

    /// Answers to requests that were sent from `moment` on.
    pub fn since(&self, moment: Instant) -> Vec<Answer> {
        self.answers().into_iter().filter(|answer| answer.sent >= moment).collect()
    }

    /// Waits for so many more answers, and gives them: all to requests that were sent from now on.
    pub fn next(&self, count: usize) -> Vec<Answer> {
        let now = Instant::now();
        wait::until("more answers", || Some(self.since(now)).filter(|answers| answers.len() >= count))
    }

    /// Ends it; no request may have failed.
    pub fn end(self) -> Vec<Answer> {
        self.abandon(Instant::now())
    }

    /// Ends it; nothing may have failed before its server was killed.
    pub fn abandon(mut self, killed: Instant) -> Vec<Answer> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client");
        }
        let record = std::mem::take(&mut *self.record.lock().expect("no thread panics with it"));
        let early: Vec<_> = record.failures.iter().filter(|(ended, _)| *ended < killed).collect();
        assert!(early.is_empty(), "{early:?} besides {} answers", record.answers.len());
        record.answers
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// All answers come from this version, on this track.
#[track_caller]
pub fn assert_all(answers: &[Answer], version: &str, track: &str) {
    let other = answers.iter().find(|answer| (answer.version.as_str(), answer.track.as_str()) != (version, track));
    assert!(other.is_none(), "{other:?} among {}, expected version {version} on {track}", answers.len());
}

/// The share of the answers that come from this version.
pub fn share(answers: &[Answer], version: &str) -> f64 {
    let count = |answers: &mut dyn Iterator<Item = &Answer>| u32::try_from(answers.count()).map_or(0.0, f64::from);
    count(&mut answers.iter().filter(|answer| answer.version == version)) / count(&mut answers.iter()).max(1.0)
}
