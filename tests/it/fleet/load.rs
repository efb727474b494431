//! Steady clients that go from one replica to the next, as those behind a Service do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use perch_testkit::{Client, wait};

use crate::rollout_life::sorted_questions_of;

pub const CLIENTS: u32 = 3;

/// Where replicas listen; those that were killed have none.
#[derive(Default)]
pub struct Addresses(Mutex<Vec<Option<SocketAddr>>>);

impl Addresses {
    pub fn set(&self, place: usize, address: Option<SocketAddr>) {
        let mut all = self.0.lock().expect("no thread panics with it");
        if all.len() <= place {
            all.resize(place + 1, None);
        }
        all[place] = address;
    }

    /// The next one that is there.
    fn get(&self, turn: usize) -> Option<SocketAddr> {
        let all = self.0.lock().expect("no thread panics with it");
        (0..all.len()).find_map(|more| all[(turn + more) % all.len()])
    }

    fn has(&self, address: SocketAddr) -> bool {
        self.0.lock().expect("no thread panics with it").contains(&Some(address))
    }
}

/// One right answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub sent: Instant,
    pub took: Duration,
    pub model: usize,
    pub version: String,
    /// Whether the canary ran for it, whoever answered.
    pub tried: bool,
}

#[derive(Default)]
struct Record {
    answers: Vec<Answer>,
    failures: Vec<String>,
}

/// Clients at work. They end when this is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// One request of so many is one that version 3 answers with NaN; 0: none.
    bad_one_in: Arc<AtomicU32>,
    record: Arc<Mutex<Record>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many requests a second for each of the models, all of which every version answers well.
    pub fn start(addresses: &Arc<Addresses>, models: &[String], per_second: u32) -> Self {
        let (stop, bad_one_in) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let record = Arc::<Mutex<Record>>::default();
        let count = u32::try_from(models.len()).expect("a few models");
        let every = Duration::from_secs(1) * CLIENTS / per_second / count;
        let questions: Arc<Vec<_>> = Arc::new(models.iter().map(|model| sorted_questions_of(model)).collect());
        let client = |number: u32| {
            let (stop, bad_one_in, record) = (stop.clone(), bad_one_in.clone(), record.clone());
            let (questions, addresses) = (questions.clone(), addresses.clone());
            std::thread::spawn(move || {
                let mut clients: BTreeMap<SocketAddr, Client> = BTreeMap::new();
                let mut due = Instant::now();
                for turn in (number as usize..).step_by(CLIENTS as usize) {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    // What was missed is not made up for: replicas would get it all at once.
                    due = (due + every).max(Instant::now());
                    if stop.load(SeqCst) {
                        return;
                    }
                    let Some(address) = addresses.get(turn) else { continue };
                    let model = turn % questions.len();
                    let (good, bad) = &questions[model];
                    // Which requests are bad must not go with which replica, model or track they come to.
                    let one_in = bad_one_in.load(SeqCst) as usize;
                    let dice = (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
                    let is_bad = one_in > 0 && usize::try_from(dice).unwrap_or(0) % one_in == 0;
                    let among = if is_bad { bad } else { good };
                    let question = &among[turn / questions.len() % among.len()];
                    let client = clients.entry(address).or_insert_with(|| Client::new(address));
                    let sent = Instant::now();
                    let reply = client.try_request("POST", "/predict", &[], question.body.as_bytes());
                    let took = sent.elapsed();
                    let checked = reply.map_err(|error| error.to_string()).and_then(|reply| {
                        let version = question.check(&reply)?;
                        let fell_back = reply.header("x-perch-fallback").is_some();
                        let tried = fell_back || reply.header("x-perch-track") == Some("canary");
                        Ok(Answer { sent, took, model, version, tried })
                    });
                    let mut record = record.lock().expect("no thread panics with it");
                    match checked {
                        Ok(answer) => record.answers.push(answer),
                        // One that was killed meanwhile answers nothing: that is no fault of its.
                        Err(_) if !addresses.has(address) => {}
                        Err(failure) => record.failures.push(format!("{address}: {failure}")),
                    }
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { stop, bad_one_in, record, threads }
    }

    /// From here on one request of so many is bad; none with 0.
    pub fn poison(&self, bad_one_in: u32) {
        self.bad_one_in.store(bad_one_in, SeqCst);
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
    pub fn end(mut self) -> Vec<Answer> {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client");
        }
        let record = std::mem::take(&mut *self.record.lock().expect("no thread panics with it"));
        assert!(record.failures.is_empty(), "{:?} besides {} answers", record.failures, record.answers.len());
        record.answers
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

/// The share of the answers of which something holds.
pub fn share(answers: &[Answer], holds: impl Fn(&Answer) -> bool) -> f64 {
    let count = |answers: &mut dyn Iterator<Item = &Answer>| u32::try_from(answers.count()).map_or(0.0, f64::from);
    count(&mut answers.iter().filter(|answer| holds(answer))) / count(&mut answers.iter()).max(1.0)
}

/// The latency that `share` of the answers did not pass.
pub fn quantile(answers: &[Answer], share: f64) -> Duration {
    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
    let place = (share * (took.len() - 1) as f64) as usize;
    took[place]
}
