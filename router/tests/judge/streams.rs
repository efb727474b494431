//! Random streams of events: executions that overlap, end out of order, and turn bad by and by.

use crate::dice::Dice;

/// One event of a stream. Ids count from 0.
pub enum Event {
    Dispatch { id: usize, rows: u32 },
    Bad { id: usize, bad: u32, now: f64 },
    End { id: usize },
    Expect { log: f64, bad: u64, epochs: u64 },
}

pub struct Stream {
    pub p0: f64,
    pub events: Vec<Event>,
}

pub fn random(seed: u64) -> Stream {
    let mut dice = Dice::new(seed);
    let p0 = [0.01, 0.05, 0.4, 0.001][dice.between(0, 3) as usize];
    let (most, sizes) = (dice.between(1, 20) as usize, dice.between(0, 3));
    let rates = [p0 / 2.0, p0, 5.0 * p0, 1.0].map(|rate: f64| rate.min(1.0));
    let (mut rate, mut now, mut flight, mut events) = (rates[dice.between(0, 3) as usize], 0.0, Vec::new(), Vec::new());
    for id in 0..dice.between(1, 120) as usize {
        if dice.chance(0.02) {
            rate = rates[dice.between(0, 3) as usize];
        }
        now += dice.unit();
        let largest = [1, 64, 8, 1 + u32::try_from(id / 3).unwrap()][sizes as usize];
        let rows = dice.between(1, largest);
        events.push(Event::Dispatch { id, rows });
        flight.push((id, rows, 0));
        while flight.len() > most || (!flight.is_empty() && dice.chance(0.4)) {
            let place = dice.between(0, u32::try_from(flight.len() - 1).unwrap()) as usize;
            let (id, rows, known) = &mut flight[place];
            let bad = (*known + dice.count(*rows, rate)).min(*rows);
            if bad > 0 {
                *known = bad;
                events.push(Event::Bad { id: *id, bad, now });
                // What is known already, or less, changes nothing.
                events.push(Event::Bad { id: *id, bad: bad - 1, now: now + 5.0 });
            }
            if dice.chance(0.7) {
                events.push(Event::End { id: *id });
                flight.swap_remove(place);
            }
        }
    }
    Stream { p0, events }
}
