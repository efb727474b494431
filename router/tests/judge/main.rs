//! The judges against the reference's streams (golden/make.py), and against the plain formulas.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod dice;
mod plain;
mod streams;

use perch_router::{
    judge::{Absolute, Chain, Class, Debits, Execution, Gate, Limit, Relative, Ticket},
    track::Track,
};
use streams::{Event, Stream};

fn close(ours: f64, theirs: f64, what: &str) {
    let same = ours.total_cmp(&theirs).is_eq() || (ours - theirs).abs() <= 1e-9;
    assert!(same, "{what}: {ours} for {theirs}");
}

/// Both forms of the absolute test over one stream of events; the second counts on three shards.
struct Both {
    absolute: Absolute,
    flight: Vec<Option<(Execution, Ticket, f64, u32)>>,
    chain: Chain,
    shards: [Debits; 3],
    largest: u32,
}

impl Both {
    fn new(p0: f64) -> Self {
        let limit = Limit::new(p0).unwrap();
        let (absolute, chain) = (Absolute::new(limit), Chain::new(limit));
        Self { absolute, flight: Vec::new(), chain, shards: Default::default(), largest: 0 }
    }

    fn counts(&self) -> Debits {
        let mut sum = Debits::default();
        self.shards.iter().for_each(|shard| sum.add(shard));
        sum
    }

    fn take(&mut self, event: &Event) {
        match *event {
            Event::Dispatch { id, rows } => {
                assert_eq!(id, self.flight.len());
                self.largest = self.largest.max(rows);
                let ticket = Ticket::new(Class::new(rows, self.largest), self.chain.epochs());
                self.shards[id % 3].dispatch(ticket.class(), ticket.epochs());
                self.flight.push(Some((self.absolute.dispatch(rows), ticket, 0.0, rows)));
            }
            Event::Bad { id, bad, now } => {
                let counts = self.counts();
                let (execution, ticket, known, rows) = self.flight[id].as_mut().unwrap();
                let fraction = f64::from(bad) / f64::from(*rows);
                self.absolute.bad_so_far(execution, fraction, now);
                self.chain.bad_so_far(*ticket, known, fraction, now, &counts);
            }
            Event::End { id } => {
                let (execution, ticket, ..) = self.flight[id].take().unwrap();
                self.absolute.end(execution);
                self.shards[(id + 1) % 3].end(ticket.epochs());
            }
            Event::Expect { log, bad, epochs } => {
                close(self.absolute.log_e(), log, "absolute");
                let mut chain = self.chain.clone();
                chain.charge(&self.counts());
                close(chain.log_e(), log, "chain");
                assert_eq!((self.absolute.bad(), chain.bad(), chain.epochs()), (bad, bad, epochs));
            }
        }
    }
}

fn blocks(text: &str, kind: &str) -> Vec<(f64, Vec<Vec<String>>)> {
    let mut found: Vec<(f64, Vec<Vec<String>>)> = Vec::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if words[0] == kind {
            found.push((words[1].parse().unwrap(), Vec::new()));
        } else {
            found.last_mut().unwrap().1.push(words);
        }
    }
    found
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
    word.parse().unwrap()
}

#[test]
fn absolute_and_chain_agree_with_the_reference() {
    let streams = blocks(include_str!("golden/absolute.txt"), "absolute");
    assert_eq!(streams.len(), 30);
    for (p0, lines) in streams {
        let mut both = Both::new(p0);
        for line in lines {
            let at = |place: usize| line[place].as_str();
            both.take(&match at(0) {
                "d" => Event::Dispatch { id: number(at(1)), rows: number(at(2)) },
                "b" => Event::Bad { id: number(at(1)), bad: number(at(2)), now: number(at(3)) },
                "e" => Event::End { id: number(at(1)) },
                "=" => Event::Expect { log: number(at(1)), bad: number(at(2)), epochs: number(at(3)) },
                other => panic!("{other}"),
            });
        }
    }
}

#[test]
fn relative_agrees_with_the_reference() {
    let streams = blocks(include_str!("golden/relative.txt"), "relative");
    assert_eq!(streams.len(), 12);
    for (rho, lines) in streams {
        let mut test = Relative::new(rho).unwrap();
        for line in lines {
            if line[0] == "=" {
                close(test.log_e(), number(&line[1]), "relative");
                continue;
            }
            let track = Track::ALL.into_iter().find(|track| track.name() == line[1]).unwrap();
            let bad: Vec<f64> = line[3..].iter().map(|weight| number(weight)).collect();
            test.executed(track, number(&line[2]), &bad);
        }
    }
}

#[test]
fn gates_agree_with_the_reference() {
    let streams = blocks(include_str!("golden/gate.txt"), "gate");
    assert_eq!(streams.len(), 12);
    for (p0, lines) in streams {
        let mut gate = Gate::new(Limit::new(p0).unwrap());
        for line in lines {
            match line[0].as_str() {
                "=" => close(gate.log_g(), number(&line[1]), "gate"),
                _ => gate.executed(number(&line[1]), number::<f64>(&line[2]) / number::<f64>(&line[1])),
            }
        }
    }
}

#[test]
fn all_agree_with_the_plain_formulas() {
    for seed in 0..120 {
        let Stream { p0, events } = streams::random(seed);
        let (mut both, mut plain) = (Both::new(p0), plain::Plain::new(p0));
        for event in &events {
            both.take(event);
            if let Some(expected) = plain.take(event) {
                both.take(&expected);
            }
        }
    }
}

#[test]
fn gates_of_the_documentation() {
    let clean = |p0: f64, failures: u32| {
        let mut gate = Gate::new(Limit::new(p0).unwrap());
        (0..failures).for_each(|_| gate.executed(1, 1.0));
        (failures + 1..2000).find(|_| {
            gate.executed(1, 0.0);
            gate.verdict(0.95).decided
        })
    };
    assert_eq!([clean(0.01, 0), clean(0.01, 1), clean(0.05, 0), clean(0.05, 1)], [329, 694, 65, 137].map(Some));
}
