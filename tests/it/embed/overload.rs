//! More work than there is room for: what is accepted is answered rightly and in time, the rest is refused at once.
//!
//! Short, and on a machine that does other things: `make bench-embed` measures the same against its targets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use perch_testkit::minilm::{self, NAME, Reference};
use perch_testkit::{Reply, TestServer, wait};
use serde_json::json;

use super::{TOLERANCE, distance, embed, openai_error, post, tei_error, vectors};

const CLIENTS: usize = 24;
/// How long a request takes at least, so that on a machine of any speed a few of them fill the queue.
const REQUEST: Duration = Duration::from_millis(100);
/// It goes on until there were so many of each.
const ACCEPTED: usize = 5;
const REFUSED: usize = 50;
/// Far longer than any request waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A refusal takes no longer than an answer for which nothing is computed, and so much more: a request that waits its turn
/// takes longer.
const AT_ONCE: Duration = Duration::from_millis(150);

#[derive(Default)]
struct Seen {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
    /// Probes, after each refusal: how long the machine takes for next to nothing at that time.
    probed: Vec<Duration>,
}

/// How much all clients have seen together.
#[derive(Default)]
struct Count {
    accepted: AtomicUsize,
    refused: AtomicUsize,
}

impl Count {
    fn is_enough(&self) -> bool {
        self.accepted.load(Ordering::Relaxed) >= ACCEPTED && self.refused.load(Ordering::Relaxed) >= REFUSED
    }
}

fn assert_refused(reply: &Reply, openai: bool) {
    let message =
        if openai { openai_error(reply, 429, "rate_limit_error") } else { tei_error(reply, 429, "Overloaded") };
    assert!(!message.is_empty());
    let after = reply.header("retry-after").ok_or_else(|| format!("{:?}", reply.headers)).expect("when to come back");
    let after: u64 = after.parse().expect("whole seconds");
    assert!((1..=30).contains(&after), "{after} s");
}

/// One client, which comes back a moment after it was refused.
fn ask(server: &TestServer, number: usize, texts: &[&str], count: &Count) -> Seen {
    let (mut client, mut seen) = (server.client(), Seen::default());
    let deadline = Instant::now() + wait::LONG;
    let openai = number.is_multiple_of(2);
    while !count.is_enough() && Instant::now() < deadline {
        let began = Instant::now();
        let reply = if openai {
            post(&mut client, "/v1/embeddings", &json!({"model": NAME, "input": texts}))
        } else {
            embed(&mut client, texts, &json!({}))
        };
        let took = began.elapsed();
        if reply.status == 200 {
            seen.accepted.push(took);
            count.accepted.fetch_add(1, Ordering::Relaxed);
            let answer = reply.json();
            let rows = if openai {
                answer["data"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|item| super::vector(&item["embedding"]))
                    .collect()
            } else {
                vectors(&answer)
            };
            for (row, text) in rows.iter().zip(texts) {
                assert!(distance(row, Reference::get().of(text)) <= TOLERANCE, "{text}");
            }
            assert_eq!(rows.len(), texts.len());
        } else {
            assert_refused(&reply, openai);
            seen.refused.push(took);
            count.refused.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            assert_eq!(client.get("/health/live").status, 200);
            seen.probed.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    seen
}

/// The texts so often that a request with them takes `REQUEST`.
fn enough<'a>(server: &TestServer, texts: &[&'a str]) -> Vec<&'a str> {
    let mut client = server.client();
    let mut took = || {
        let began = Instant::now();
        assert_eq!(embed(&mut client, texts, &json!({})).status, 200);
        began.elapsed()
    };
    let shortest = (0..5).map(|_| took()).min().expect("some");
    let times = REQUEST.as_nanos().div_ceil(shortest.as_nanos());
    texts.repeat(usize::try_from(times).expect("some hundreds"))
}

/// The one in the middle.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn what_has_no_room_is_refused_at_once_and_the_rest_is_right() {
    let yaml = format!("models:\n- {{name: {NAME}, batching: {{maxQueue: 500ms}}}}\n");
    let builder = TestServer::builder(minilm::models_fp32()).yaml(&yaml);
    let server = builder.set("server.requestTimeout", &format!("{}s", TIMEOUT.as_secs())).ready();
    let mut texts: Vec<&str> =
        Reference::get().texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    texts.retain(|text| (20..=60).contains(&text.split_whitespace().count()));
    assert!(texts.len() >= 4, "{texts:?}");
    let texts = enough(&server, &texts);
    let (mut all, count) = (Seen::default(), Count::default());
    std::thread::scope(|scope| {
        let (server, texts, count) = (&server, texts.as_slice(), &count);
        let client = |number| scope.spawn(move || ask(server, number, texts, count));
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        for client in clients {
            let seen = client.join().expect("a client saw what it should not");
            all.accepted.extend(seen.accepted);
            all.refused.extend(seen.refused);
            all.probed.extend(seen.probed);
        }
    });
    let counts = format!("{} accepted, {} refused", all.accepted.len(), all.refused.len());
    assert!(count.is_enough(), "{counts}");
    let longest = all.accepted.iter().max().expect("some were accepted");
    assert!(*longest < TIMEOUT / 3, "{counts}: the longest took {longest:?}");
    let (refusal, probe) = (median(&mut all.refused), median(&mut all.probed));
    assert!(refusal < 3 * probe + AT_ONCE, "{counts}: a refusal took {refusal:?}, a probe {probe:?}");
    // When they have gone there is room again.
    wait::until_true("room", || embed(&mut server.client(), &texts, &json!({})).status == 200);
}
