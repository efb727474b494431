//! Replicas whose executions start, fail, end and are reported by the tick, and the test of all from its definition.

use std::{collections::BTreeMap, time::Duration};

use perch_router::{
    fleet::{Member, Pool, Report, Reports},
    judge::{Chain, Class, Debits, Limit, Ticket},
};

use crate::dice::Dice;

pub const METRIC: &str = "errors";

/// One process.
pub struct Replica {
    name: String,
    pub member: Member,
    pub counts: Debits,
    pub largest: u32,
    /// In flight: its number among all executions of the world, its ticket, and what is known of it.
    flight: Vec<(usize, Ticket, f64, u32)>,
    pub last_report: u64,
}

/// An execution, as the definition has it.
#[derive(Clone)]
struct Execution {
    weight: f64,
    /// Epochs of the pool that its replica knew of when it started.
    knew: u64,
    boot: String,
    /// Bad fraction known as of each tick that its boot has reported.
    fractions: BTreeMap<u64, f64>,
}

/// All of them, and which of their reports the pool has taken in.
pub struct World {
    pub p0: f64,
    executions: Vec<Execution>,
    known: Vec<f64>,
    /// The tick of the report that counts, by boot.
    taken: BTreeMap<String, u64>,
}

impl Replica {
    pub fn new(name: &str, p0: f64, epochs: u64) -> Self {
        let limit = Limit::new(p0).unwrap();
        Self {
            name: name.to_owned(),
            member: Member::new(limit, Chain::new(limit), epochs),
            counts: Debits::default(),
            largest: 0,
            flight: Vec::new(),
            last_report: 0,
        }
    }

    /// What it calls itself at present.
    pub fn boot(&self) -> String {
        format!("{}.{}", self.name, self.member.births())
    }

    pub fn learn(&mut self, pool: &Pool) {
        let epochs = pool.metric(METRIC).unwrap().epochs();
        self.member.learn(epochs, pool.is_buried(&self.boot()), &self.counts);
    }

    pub fn report(&mut self, tick: u64) -> Report {
        self.last_report = tick;
        let share = self.member.share(&self.counts);
        Report { tick, shares: [(METRIC.to_owned(), share)].into(), last: false }
    }

    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// The `place`-th execution in flight ends; the last takes its place.
    pub fn end(&mut self, place: usize) {
        let (_, ticket, ..) = self.flight.swap_remove(place);
        self.counts.end(ticket.epochs());
    }

    /// The same, and the others keep their order.
    pub fn end_in_order(&mut self, place: usize) {
        let (_, ticket, ..) = self.flight.remove(place);
        self.counts.end(ticket.epochs());
    }

    /// Whether it could hear of an epoch now.
    pub fn may_learn(&self) -> bool {
        self.member.alone().clone().turn(&self.counts)
    }
}

impl World {
    pub fn new(p0: f64) -> Self {
        Self { p0, executions: Vec::new(), known: Vec::new(), taken: BTreeMap::new() }
    }

    pub fn dispatch(&mut self, replica: &mut Replica, rows: u32) {
        replica.largest = replica.largest.max(rows.min(32));
        let class = Class::new(rows, replica.largest);
        let ticket = Ticket::new(class, replica.member.epochs());
        replica.counts.dispatch(class, ticket.epochs());
        replica.flight.push((self.executions.len(), ticket, 0.0, rows));
        let (knew, boot) = (replica.member.knows(), replica.boot());
        self.executions.push(Execution { weight: class.weight(), knew, boot, fractions: BTreeMap::new() });
        self.known.push(0.0);
    }

    /// Something happens to the `place`-th execution in flight.
    pub fn turns_bad(&mut self, replica: &mut Replica, place: usize, bad: u32, now: f64) {
        let boot = replica.boot();
        let (id, ticket, known, rows) = &mut replica.flight[place];
        let fraction = f64::from(bad.min(*rows)) / f64::from(*rows);
        replica.member.bad_so_far(*ticket, known, fraction, now, &replica.counts);
        // What another boot of this process started is credited to none.
        if self.executions[*id].boot == boot {
            self.known[*id] = *known;
        }
    }

    /// What `boot` reports as of `tick`.
    pub fn reported(&mut self, boot: &str, tick: u64) {
        for (execution, known) in self.executions.iter_mut().zip(&self.known) {
            if execution.boot == boot {
                execution.fractions.insert(tick, *known);
            }
        }
    }

    /// The pool has moved on, with these reports.
    pub fn take(&mut self, rows: impl Iterator<Item = (String, u64)>) {
        self.taken.extend(rows);
    }

    /// Bad executions as of what was taken.
    pub fn bad(&self) -> u64 {
        self.seen().filter(|(_, fraction)| *fraction > 0.0).count() as u64
    }

    fn seen(&self) -> impl Iterator<Item = (&Execution, f64)> {
        self.executions.iter().filter_map(|execution| {
            let fraction = execution.fractions.get(self.taken.get(&execution.boot)?)?;
            Some((execution, *fraction))
        })
    }

    /// log E from its definition: each epoch plays with its mass on the executions whose replicas knew of it.
    pub fn log_e(&self, epochs: u64) -> f64 {
        let left = |epoch: u64| 0.5 / (f64::from(u32::try_from(epoch).unwrap()) + 1.0).powf(0.25);
        let odds = |p: f64| p / (1.0 - p);
        let (low, high) = (odds(2.0 * self.p0).ln(), odds(0.97).ln());
        let mut terms = vec![left(epochs).ln()];
        for k in 0..12 {
            let odds = (low + (high - low) * f64::from(k) / 11.0).exp();
            let bet = (odds / (1.0 + odds) - self.p0) / (self.p0 * (1.0 - self.p0));
            for epoch in 0..=epochs {
                let mass = if epoch == 0 { 0.5 } else { left(epoch - 1) - left(epoch) };
                let factor =
                    |(execution, fraction): (&Execution, f64)| (bet * execution.weight * (fraction - self.p0)).ln_1p();
                let of = self.seen().filter(|(execution, _)| execution.knew >= epoch);
                terms.push((mass / 12.0).ln() + of.map(factor).sum::<f64>());
            }
        }
        let most = terms.iter().copied().fold(f64::MIN, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }
}

/// A store that gets reports late, twice, or in another order.
#[derive(Default)]
pub struct Mail {
    under_way: Vec<(u64, String, Report)>,
    pub arrived: Reports,
    /// When each boot was last heard, in ticks.
    heard: BTreeMap<String, u64>,
}

impl Mail {
    pub fn send(&mut self, boot: &str, report: Report, lands: u64) {
        self.under_way.push((lands, boot.to_owned(), report));
    }

    pub fn deliver(&mut self, now: u64, dice: &mut Dice) {
        let (mut due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(lands, ..)| *lands <= now);
        self.under_way = rest;
        while !due.is_empty() {
            let place = dice.between(0, u32::try_from(due.len() - 1).unwrap()) as usize;
            let (_, boot, report) = due.swap_remove(place);
            self.arrived.put(&boot, report.clone());
            if dice.chance(0.2) {
                assert!(!self.arrived.put(&boot, report), "it is known already");
            }
            self.heard.insert(boot, now);
        }
    }

    /// How long ago a boot was heard.
    pub fn age(&self, boot: &str, now: u64) -> Option<Duration> {
        self.heard.get(boot).map(|at| Duration::from_millis(250 * (now - at)))
    }
}
