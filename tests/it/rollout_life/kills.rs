//! kill -9 at any moment: the next process goes on where the last one was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use perch_testkit::{PerchProcess, wait};
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::traffic::Traffic;
use super::{Admin, FLUSHED, MODEL, Site, short, traffic};

/// Clients whose request was on its way at a kill, at most.
const IN_FLIGHT: u64 = 2;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % limit
    }
}

/// How a round is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Promoted,
    /// Version 3 turns bad at this step.
    Demoted {
        step: u64,
    },
    /// It turns bad when it has been promoted.
    TakenBack,
}

/// One rollout after the other, and what came of them.
struct Life {
    site: Site,
    receiver: Receiver,
    random: Random,
    perch: Option<PerchProcess>,
    load: Option<Traffic>,
    /// Of the present round.
    fate: Option<Fate>,
    /// Whether its version may be tried: one that rests has to be started by force.
    resumed: bool,
    rounds: Vec<Fate>,
    kills: BTreeMap<String, u64>,
    /// Answers for which the canary ran, of the present start.
    executed: (String, u64),
    /// Views of the running process, and when they came.
    seen: Vec<(Instant, Value)>,
}

impl Life {
    fn begin(policy: &str, seed: u64) -> Self {
        let receiver = Receiver::start();
        let told = format!("notifications: [{{type: webhook, url: \"{}\"}}]\n", receiver.url("/hook"));
        let site = Site::new(&format!("{policy}abort: {{quarantine: 1h}}\n{told}"));
        let mut life = Self {
            site,
            receiver,
            random: Random(seed),
            perch: None,
            load: None,
            fate: None,
            resumed: false,
            rounds: Vec::new(),
            kills: BTreeMap::new(),
            executed: (String::new(), 0),
            seen: Vec::new(),
        };
        life.start();
        life
    }

    fn start(&mut self) {
        let perch = self.site.ready();
        self.perch = Some(perch);
    }

    fn perch(&self) -> &PerchProcess {
        self.perch.as_ref().expect("running")
    }

    fn admin(&self) -> Admin {
        Admin::of(self.perch())
    }

    /// Brings the present round on, or begins one.
    fn drive(&mut self, view: &Value) {
        let state = view["state"].as_str().expect("a state");
        let serving = view["stable"]["version"].as_str().unwrap_or_default().to_owned();
        let resting = view["quarantine"].as_array().is_some_and(|all| !all.is_empty());
        let Some(fate) = self.fate else {
            // The last promotion's writes may still be on their way: the alias that they clear would be the next one.
            let cleared = !matches!(self.rounds.last(), Some(Fate::Promoted | Fate::TakenBack));
            let aliases = self.site.aliases();
            if serving.parse() != Ok(aliases["stable"].as_u64().unwrap_or_default())
                || !(cleared || aliases["canary"].is_null())
            {
                return;
            }
            let fate = match self.random.below(3) {
                0 => Fate::Promoted,
                1 => Fate::Demoted { step: 2 + self.random.below(4) },
                _ => Fate::TakenBack,
            };
            let canary = match fate {
                Fate::Promoted => {
                    if serving == "1" {
                        2
                    } else {
                        1
                    }
                }
                _ => 3,
            };
            self.fate = Some(fate);
            self.resumed = canary != 3 || !resting;
            self.site.models.set_alias(MODEL, "canary", canary);
            return;
        };
        let tried = view["canary"]["version"] == "3";
        if tried && !self.resumed && view["rollout"].is_null() {
            // It was taken out in an earlier round, and has to be seen as the canary first.
            self.resumed = self.admin().post("retry", &json!({"force": true})).status == 200;
            return;
        }
        if state == "paused" {
            self.admin().post("resume", &Value::Null);
        }
        let poisons = match fate {
            Fate::Promoted => false,
            Fate::Demoted { step } => tried && view["step"].as_u64().is_some_and(|at| at >= step),
            Fate::TakenBack => tried && state == "promoted",
        };
        if let Some(load) = &self.load {
            load.poison(poisons);
        }
        let ended = match fate {
            Fate::Promoted => {
                state == "idle"
                    && view["canary"].is_null()
                    && self.site.aliases()["stable"] != json!(3)
                    && self.was_promoted(&serving)
            }
            _ => state == "demoted" && tried && self.resumed,
        };
        if ended {
            self.rounds.push(fate);
            self.fate = None;
        }
    }

    /// Whether the present round's canary is what serves: rounds of good versions go back and forth between 1 and 2.
    fn was_promoted(&self, serving: &str) -> bool {
        let promotions = self.rounds.iter().filter(|fate| **fate == Fate::Promoted).count();
        serving == if promotions % 2 == 0 { "2" } else { "1" }
    }

    /// Lives on until `condition` holds for what is seen.
    fn live_until(&mut self, condition: impl Fn(&Self, &Value) -> bool) {
        let deadline = Instant::now() + wait::LONG;
        loop {
            self.live(Instant::now() + Duration::from_millis(1), usize::MAX);
            if self.seen.last().is_some_and(|(_, view)| condition(self, view)) {
                return;
            }
            assert!(Instant::now() < deadline, "{:?}", self.seen.last().map(|(_, view)| short(view)));
        }
    }

    /// Lives on until `deadline`, or for so many more rounds.
    fn live(&mut self, deadline: Instant, rounds: usize) {
        while Instant::now() < deadline && self.rounds.len() < rounds {
            let view = self.admin().view();
            self.drive(&view);
            self.seen.push((Instant::now(), view));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Counts what the canary was asked in the rollout that is under way.
    fn count(&mut self, rollout: &Value, load: &Traffic) {
        let rollout = rollout.as_str().unwrap_or_default().to_owned();
        if self.executed.0 != rollout {
            self.executed = (rollout, 0);
        }
        let asked =
            load.answers().iter().filter(|answer| answer.track == "canary" || answer.fallback.is_some()).count();
        self.executed.1 += asked as u64 + IN_FLIGHT;
    }

    fn kill(&mut self, before: &Value) {
        let load = self.load.take().expect("at work");
        let killed = Instant::now();
        self.perch.take().expect("running").kill();
        self.count(&before["rollout"], &load);
        load.abandon(killed);
        *self.kills.entry(before["state"].as_str().unwrap_or("unseen").to_owned()).or_default() += 1;
        self.start();
        let after = self.admin().wait("a view", |view| view["store"]["state"] == "ready");
        Self::compare(before, &after);
        let seen = std::mem::take(&mut self.seen);
        if let Some(written) = written(&seen, killed).filter(|view| view["rollout"] == after["rollout"]) {
            self.goes_on(written, &after);
        }
        self.load = Some(traffic(self.perch()));
    }

    fn compare(before: &Value, after: &Value) {
        let (was, is) = (before["generation"].as_u64(), after["generation"].as_u64());
        assert!(was <= is, "{} after {}", short(after), short(before));
        assert_eq!(after["store"]["state"], "ready");
        for row in before["quarantine"].as_array().into_iter().flatten() {
            let lifted = was < is;
            assert!(
                lifted || after["quarantine"].as_array().is_some_and(|all| all.contains(row)),
                "{row} is forgotten"
            );
        }
        if was == is {
            for key in ["state", "step", "steps", "weight", "rollout", "pausedBy", "stable", "canary", "until", "plan"]
            {
                assert_eq!(before[key], after[key], "{key}: {} after {}", short(after), short(before));
            }
        }
    }

    /// What had been written by then is there, and no more than was asked.
    fn goes_on(&self, before: &Value, after: &Value) {
        let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
        let (old, new) = (&before["metrics"][0], &after["metrics"][0]);
        for key in ["n", "bad"] {
            assert!(number(new, key) >= number(old, key), "{key} went back: {new} after {old}");
        }
        let most = u32::try_from(self.executed.1).map_or(f64::MAX, f64::from);
        assert!(number(new, "n") <= most, "{new}, and only {most} were asked");
        if before["step"] == after["step"] {
            assert!(
                number(after, "stepElapsed") >= number(before, "stepElapsed"),
                "{} after {}",
                short(after),
                short(before)
            );
        }
    }

    /// Brings the present round to its end, and checks all that was stored and told.
    fn end(mut self) {
        let rounds = self.rounds.len() + 1;
        self.live(Instant::now() + Duration::from_secs(60), rounds);
        assert_eq!(self.rounds.len(), rounds, "{}", short(&self.admin().view()));
        let history = self.admin().history();
        let reached = |state: &str| {
            let rows = history.iter().filter(|row| row["to"] == state && row["from"] != state);
            rows.map(|row| row["generation"].as_u64().expect("a number")).collect::<Vec<_>>()
        };
        let count = |fates: &dyn Fn(&Fate) -> bool| self.rounds.iter().filter(|fate| fates(fate)).count();
        assert_eq!(
            reached("promoted").len(),
            count(&|fate| !matches!(fate, Fate::Demoted { .. })),
            "{:?}",
            self.rounds
        );
        assert_eq!(reached("demoted").len(), count(&|fate| *fate != Fate::Promoted), "{:?}", self.rounds);
        assert_eq!(reached("aborted"), [] as [u64; 0]);
        let generations: Vec<u64> = history.iter().rev().filter_map(|row| row["generation"].as_u64()).collect();
        assert_eq!(generations, (1..=generations.len() as u64).collect::<Vec<_>>(), "no change without its row");
        let number = |version: &Value| version["version"].as_str().and_then(|text| text.parse::<u64>().ok());
        wait::until_ok("aliases", || {
            let aliases = self.site.aliases();
            let view = self.admin().view();
            let agrees = aliases["stable"].as_u64() == number(&view["stable"]);
            if agrees {
                Ok(())
            } else {
                Err(format!("{aliases} and {}, after {:?}, {history:#?}", short(&view), self.rounds))
            }
        });
        for (state, generations) in [("promoted", reached("promoted")), ("demoted", reached("demoted"))] {
            for generation in generations {
                let part = format!("/{generation}/{state}/webhook/");
                wait::until_true(&part, || self.receiver.told().iter().any(|told| told.key.contains(&part)));
            }
        }
        let mut keys: BTreeMap<String, Value> = BTreeMap::new();
        for told in self.receiver.told() {
            let known = keys.entry(told.key.clone()).or_insert_with(|| told.body.clone());
            assert_eq!(*known, told.body, "two messages under {}", told.key);
        }
        let started = keys.keys().filter(|key| key.contains("/started/")).count();
        assert_eq!(started, self.rounds.len(), "each rollout is told to start once: {keys:?}");
        self.load.take().expect("at work").end();
        assert!(!self.kills.is_empty(), "{:?}", self.rounds);
    }
}

/// The latest view of which all was written when the process was killed. A time in which nobody looked hardly counts: the
/// machine stood still, and the process with it.
fn written(seen: &[(Instant, Value)], killed: Instant) -> Option<&Value> {
    const LOOK: Duration = Duration::from_millis(50);
    let (mut next, mut passed) = (killed, Duration::ZERO);
    let mut latest = seen.iter().rev();
    latest.find_map(|(at, view)| {
        passed += next.saturating_duration_since(*at).min(LOOK);
        next = *at;
        (passed > FLUSHED).then_some(view)
    })
}

/// Eight kills, or as many as `PERCH_KILLS` says.
#[test]
fn rollouts_go_on_after_kills_at_any_moment() {
    let kills: u64 = std::env::var("PERCH_KILLS").map_or(8, |text| text.parse().expect("a number of kills"));
    // One that is promoted is still so when the next process has begun, and turns bad then.
    let policy = super::steps("10s");
    let mut life = Life::begin(&policy, 20);
    life.load = Some(traffic(life.perch()));
    for _ in 0..kills {
        // Any time, and a little after what lasts for a short time only.
        match life.random.below(6) {
            0 => life.live_until(|life, view| life.fate.is_some() && view["rollout"].is_null()),
            1 | 2 => life.live_until(|_, view| view["state"] == "promoted"),
            3 => life.live_until(|life, view| life.fate.is_none() && view["rollout"].is_null()),
            _ => life.live(Instant::now() + Duration::from_secs(2), usize::MAX),
        }
        let more = Duration::from_millis(life.random.below(400));
        life.live(Instant::now() + more, usize::MAX);
        let before = life.admin().view();
        life.kill(&before);
    }
    life.end();
}
