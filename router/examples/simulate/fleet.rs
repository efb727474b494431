//! One rollout on many replicas, with a store between them: what is written late, heard late, or not heard.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use perch_router::{
    fleet::{Member, Pool, Report, Reports, alone_threshold, pooled_threshold},
    judge::{Chain, Class, Debits, Ticket},
};

use crate::{dice::Dice, tables::limit};

const METRIC: &str = "errors";
/// µs.
const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;
const TICK: u64 = 250 * MS;
const MIN_FAILURES: u64 = 3;

/// What is the case.
#[derive(Clone, Copy)]
pub struct Case {
    pub replicas: u32,
    /// Of the canary's executions on all replicas, a second; and the share of them that fails.
    pub rate: f64,
    pub fails: f64,
    /// How long they take, in µs.
    pub success: u64,
    pub failure: u64,
    pub alpha: f64,
    /// Replicas tell each other that they have demoted.
    pub vetoes: bool,
    /// They also judge together.
    pub pooled: bool,
    /// How long a notification is under way at most, in µs, and the share that never arrives.
    pub notice: u64,
    pub lost: f64,
    /// How long a report is under way at most, and how wrong a clock is, at most, in µs.
    pub write: u64,
    pub skew: u64,
    /// How often a replica dies and is replaced at once, a second each.
    pub deaths: f64,
    /// Seconds after which it is over.
    pub longest: u64,
}

/// How it ended.
#[derive(Clone, Copy, Default)]
pub struct Ending {
    /// Seconds until the last replica sent nothing to the canary.
    pub stopped: Option<f64>,
    /// Executions that failed until then.
    pub failed: u64,
    /// Who found it first.
    pub by_pool: bool,
    pub by_one: bool,
}

enum Event {
    Start,
    End {
        replica: usize,
        born: u64,
        ticket: Ticket,
        bad: bool,
    },
    Capture {
        replica: usize,
        tick: u64,
    },
    Arrive {
        boot: String,
        report: Report,
        bad: bool,
    },
    /// It was notified, or asks by itself.
    Read {
        replica: usize,
        again: bool,
    },
    Veto,
    Death,
}

struct Replica {
    /// Its process.
    seat: u32,
    born: u64,
    member: Member,
    counts: Debits,
    enough: Option<f64>,
    skew: u64,
    bad: u64,
    reported_bad: u64,
    stopped: bool,
}

struct Run<'a> {
    case: &'a Case,
    dice: Dice,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
    replicas: Vec<Replica>,
    boots: u32,
    reports: Reports,
    heard: BTreeMap<String, u64>,
    pool: Pool,
    veto: bool,
    ending: Ending,
}

pub fn run(case: &Case, seed: u64) -> Ending {
    let mut run = Run {
        case,
        dice: Dice::new(seed),
        queue: BinaryHeap::new(),
        events: BTreeMap::new(),
        next: 0,
        replicas: Vec::new(),
        boots: 0,
        reports: Reports::default(),
        heard: BTreeMap::new(),
        pool: Pool::new([METRIC]),
        veto: false,
        ending: Ending::default(),
    };
    for replica in 0..case.replicas as usize {
        let started = run.replica(0);
        run.replicas.push(started);
        if case.pooled {
            run.at(TICK, Event::Capture { replica, tick: 1 });
        }
        if case.pooled || case.vetoes {
            let phase = run.within(SECOND);
            run.at(phase, Event::Read { replica, again: true });
        }
    }
    run.at(0, Event::Start);
    if case.deaths > 0.0 {
        run.at(0, Event::Death);
    }
    run.follow()
}

impl Replica {
    fn boot(&self) -> String {
        format!("{:05}.{}", self.seat, self.member.births())
    }
}

impl Run<'_> {
    fn at(&mut self, time: u64, event: Event) {
        self.queue.push(Reverse((time, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    fn within(&mut self, most: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "seconds"
        )]
        {
            (self.dice.unit() * most as f64) as u64
        }
    }

    /// µs until the next, at `rate` a second.
    fn gap(&mut self, rate: f64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
        {
            (-(1.0 - self.dice.unit()).ln() / rate * 1e6) as u64
        }
    }

    fn replica(&mut self, now: u64) -> Replica {
        let (limit, seat) = (limit(0.01), self.boots);
        self.boots += 1;
        let epochs = self.pool.metric(METRIC).map_or(0, perch_router::fleet::Pooled::epochs);
        let mut replica = Replica {
            member: Member::new(limit, Chain::new(limit), epochs),
            counts: Debits::default(),
            enough: alone_threshold(1, self.case.alpha, self.case.replicas, seat),
            skew: self.within(self.case.skew + 1),
            bad: 0,
            reported_bad: 0,
            stopped: self.veto,
            born: now,
            seat,
        };
        if self.case.pooled {
            // What it says before it counts anything.
            let share = replica.member.share(&replica.counts);
            let report = Report { tick: now / TICK, shares: [(METRIC.to_owned(), share)].into(), last: false };
            self.reports.put(&replica.boot(), report);
            self.heard.insert(replica.boot(), now);
        }
        replica
    }

    fn follow(mut self) -> Ending {
        while let Some(Reverse((now, number))) = self.queue.pop() {
            if now > self.case.longest * SECOND {
                break;
            }
            let Some(event) = self.events.remove(&number) else { continue };
            self.take(now, event);
            if self.replicas.iter().all(|replica| replica.stopped) {
                #[expect(clippy::cast_precision_loss, reason = "µs of hours")]
                {
                    self.ending.stopped = Some(now as f64 / 1e6);
                }
                break;
            }
        }
        self.ending
    }

    fn take(&mut self, now: u64, event: Event) {
        match event {
            Event::Start => self.start(now),
            Event::End { replica, born, ticket, bad } => self.end(replica, born, ticket, bad, now),
            Event::Capture { replica, tick } => self.capture(replica, tick, now),
            Event::Arrive { boot, report, bad } => {
                self.reports.put(&boot, report);
                self.heard.insert(boot, now);
                if bad {
                    self.notify(now);
                }
            }
            Event::Read { replica, again } => {
                self.read(replica, now);
                if again {
                    self.at(now + SECOND, Event::Read { replica, again });
                }
            }
            Event::Veto => {
                self.veto = true;
                self.notify(now);
            }
            Event::Death => {
                let gap = self.gap(self.case.deaths * f64::from(self.case.replicas));
                let replica = self.within(u64::from(self.case.replicas));
                let replica = usize::try_from(replica).expect("small");
                self.replicas[replica] = self.replica(now);
                self.at(now + gap, Event::Death);
            }
        }
    }

    /// An execution for one of them, whoever it is; those that have stopped send theirs to stable.
    fn start(&mut self, now: u64) {
        let gap = self.gap(self.case.rate);
        self.at(now + gap, Event::Start);
        let index = usize::try_from(self.within(u64::from(self.case.replicas))).expect("small");
        let bad = self.dice.chance(self.case.fails);
        let replica = &mut self.replicas[index];
        if replica.stopped {
            return;
        }
        let ticket = Ticket::new(Class::new(1, 1), replica.member.epochs());
        replica.counts.dispatch(ticket.class(), ticket.epochs());
        let (born, takes) = (replica.born, if bad { self.case.failure } else { self.case.success });
        self.at(now + takes, Event::End { replica: index, born, ticket, bad });
    }

    fn end(&mut self, index: usize, born: u64, ticket: Ticket, bad: bool, now: u64) {
        self.ending.failed += u64::from(bad);
        let replica = &mut self.replicas[index];
        if replica.born != born {
            return;
        }
        let mut found = false;
        if bad {
            replica.bad += 1;
            replica.member.bad_so_far(ticket, &mut 0.0, 1.0, seconds(now), &replica.counts);
            let alone = replica.member.alone();
            found = alone.bad() >= MIN_FAILURES && replica.enough.is_some_and(|enough| alone.log_e() >= enough);
        }
        replica.counts.end(ticket.epochs());
        if found && !replica.stopped {
            self.ending.by_one |= !self.ending.by_pool;
            self.stop(index, now);
        }
    }

    /// It sends nothing to the canary from here on, and says so.
    fn stop(&mut self, index: usize, now: u64) {
        self.replicas[index].stopped = true;
        if self.case.vetoes && !self.veto {
            let write = self.within(self.case.write);
            self.at(now + write, Event::Veto);
        }
    }

    fn capture(&mut self, index: usize, tick: u64, now: u64) {
        let write = self.within(self.case.write);
        let replica = &mut self.replicas[index];
        let share = replica.member.share(&replica.counts);
        let report = Report { tick, shares: [(METRIC.to_owned(), share)].into(), last: false };
        let bad = replica.bad > replica.reported_bad;
        replica.reported_bad = replica.bad;
        let (boot, skew) = (replica.boot(), replica.skew);
        self.at(now + write, Event::Arrive { boot, report, bad });
        self.at((tick + 1) * TICK + skew, Event::Capture { replica: index, tick: tick + 1 });
    }

    fn notify(&mut self, now: u64) {
        for replica in 0..self.replicas.len() {
            let (delay, lost) = (self.within(self.case.notice), self.dice.chance(self.case.lost));
            if !lost {
                self.at(now + delay, Event::Read { replica, again: false });
            }
        }
    }

    fn read(&mut self, index: usize, now: u64) {
        if self.case.vetoes && self.veto {
            self.replicas[index].stopped = true;
        }
        if !self.case.pooled {
            return;
        }
        let heard = &self.heard;
        let age = |boot: &str| heard.get(boot).map(|at| Duration::from_micros(now.saturating_sub(*at)));
        if let Some(cut) = self.reports.cut(&self.pool, age) {
            self.pool = self.pool.advance(&cut);
            self.reports.trim(&self.pool);
        }
        let Some(pooled) = self.pool.metric(METRIC) else { return };
        let decided = pooled.verdict(0.01, pooled_threshold(1, self.case.alpha), MIN_FAILURES).decided;
        let epochs = pooled.epochs();
        let replica = &mut self.replicas[index];
        replica.member.learn(epochs, self.pool.is_buried(&replica.boot()), &replica.counts);
        if decided && !self.replicas[index].stopped {
            self.ending.by_pool |= !self.ending.by_one;
            self.stop(index, now);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "µs of hours")]
fn seconds(time: u64) -> f64 {
    time as f64 / 1e6
}
