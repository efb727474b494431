//! The queue, from which one run is taken at a time.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::run::compose::{Batch, Text, Waiting};

/// What happens to a queue, in milliseconds and tokens.
#[derive(Debug, Clone)]
enum Event {
    Push { length: usize, late: u64, lives: u64 },
    Pass { time: u64 },
    Cancel { nth: usize },
    Next,
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0usize..600, 0u64..20, 0u64..400).prop_map(|(length, late, lives)| Event::Push { length, late, lives }),
        2 => (0u64..80).prop_map(|time| Event::Pass { time }),
        1 => (0usize..50).prop_map(|nth| Event::Cancel { nth }),
        2 => Just(Event::Next),
        1 => Just(Event::Sweep),
    ]
}

/// A queue beside a plain list of what should be in it.
struct Model {
    queue: Waiting<usize>,
    grid: CostGrid,
    rules: Rules,
    now: Instant,
    pushed: Vec<Text>,
    waiting: Vec<usize>,
    cancelled: Vec<usize>,
}

impl Model {
    fn happens(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let ms = Duration::from_millis;
        match *event {
            Event::Push { length, late, lives } => {
                let arrived = self.now.checked_sub(ms(late)).unwrap_or(self.now);
                let text = Text { length, arrived, deadline: self.now + ms(lives) };
                self.waiting.push(self.pushed.len());
                self.queue.push(text, self.pushed.len(), &self.grid, &self.rules);
                self.pushed.push(text);
            }
            Event::Pass { time } => self.now += ms(time),
            Event::Cancel { nth } => self.cancelled.extend(self.waiting.get(nth).copied()),
            Event::Next => {
                self.next()?;
            }
            Event::Sweep => {
                let dead: Vec<usize> = self.waiting.iter().copied().filter(|text| !self.lives(*text)).collect();
                let mut swept = self.queue.sweep(self.now, |text| !self.cancelled.contains(text));
                swept.sort_unstable();
                prop_assert_eq!(&swept, &dead);
                self.waiting.retain(|text| !dead.contains(text));
            }
        }
        prop_assert_eq!(self.queue.len(), self.waiting.len());
        prop_assert_eq!(self.queue.is_empty(), self.waiting.is_empty());
        let work = self.waiting.iter().map(|text| {
            let padded = self.rules.padded(self.pushed[*text].length);
            Duration::from_secs_f64(self.grid.share(padded, self.rules.rows_at(padded)))
        });
        prop_assert_eq!(self.queue.work(), work.sum::<Duration>());
        Ok(())
    }

    fn lives(&self, text: usize) -> bool {
        self.pushed[text].deadline > self.now && !self.cancelled.contains(&text)
    }

    fn next(&mut self) -> Result<Option<Batch<usize>>, TestCaseError> {
        let living: Vec<usize> = self.waiting.iter().copied().filter(|text| self.lives(*text)).collect();
        let next = self.queue.next(self.now, &self.grid, &self.rules, |text| !self.cancelled.contains(text));
        let taken = next.batch.iter().flat_map(|batch| batch.items.clone()).chain(next.dropped.clone());
        for text in taken {
            let before = self.waiting.len();
            self.waiting.retain(|other| *other != text);
            prop_assert_eq!(self.waiting.len() + 1, before, "{} was taken twice, or never came", text);
        }
        prop_assert!(next.dropped.iter().all(|text| !self.lives(*text)));
        prop_assert!(self.waiting.iter().all(|text| self.pushed[*text].deadline > self.now), "what expired is dropped");
        prop_assert_eq!(next.batch.is_none(), living.is_empty());
        if let Some(batch) = &next.batch {
            let lengths: Vec<usize> = batch.items.iter().map(|text| self.pushed[*text].length).collect();
            prop_assert!(batch.items.iter().all(|text| self.lives(*text)));
            prop_assert!(lengths.is_sorted() && obeys(&self.rules, &lengths, batch.length), "{:?}", batch);
            let arrived = |text: &usize| self.pushed[*text].arrived;
            let oldest = living.iter().map(arrived).min();
            if oldest.is_some_and(|oldest| self.now - oldest >= self.rules.max_age) {
                prop_assert_eq!(batch.items.iter().map(arrived).min(), oldest, "the oldest was passed over");
            }
        }
        Ok(next.batch)
    }
}

proptest! {
    #[test]
    fn it_holds_what_was_pushed_and_takes_out_what_it_may(
        events in prop::collection::vec(event(), 0..300),
        rules in any_rules(),
    ) {
        let (queue, grid, now) = (Waiting::default(), bf16(), Instant::now() + Duration::from_secs(1));
        let (pushed, waiting, cancelled) = (Vec::new(), Vec::new(), Vec::new());
        let mut model = Model { queue, grid, rules, now, pushed, waiting, cancelled };
        for event in events {
            model.happens(&event)?;
        }
        while model.next()?.is_some() {}
        prop_assert_eq!((model.queue.len(), model.queue.work()), (0, Duration::ZERO));
    }
}

/// Seconds of all runs when a queue of these texts is emptied.
pub(super) fn emptied(lengths: &[usize], grid: &CostGrid, rules: &Rules) -> f64 {
    let (mut queue, now) = (Waiting::default(), Instant::now());
    for (age, length) in (0..).zip(lengths) {
        let text =
            Text { length: *length, arrived: now + Duration::from_micros(age), deadline: now + Duration::MAX / 4 };
        queue.push(text, (), grid, rules);
    }
    let runs = std::iter::from_fn(|| queue.next(now, grid, rules, |()| true).batch);
    runs.map(|batch| batch.expected.as_secs_f64()).sum()
}

#[test]
fn run_by_run_it_is_as_fast_as_the_best_cut() {
    for (name, grid, rules) in models() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [1, 5, 32, 64, 500, 3000] {
            let lengths: Vec<usize> = (0..count).map(|_| mixed(&mut random)).collect();
            // The queue sees all of a short list at once, and a part of a long one.
            let most = if count <= 64 { 1.000_001 } else { 1.03 };
            for max_age in [Duration::ZERO, Duration::MAX] {
                let rules = Rules { max_age, ..rules.clone() };
                let more = emptied(&lengths, &grid, &rules) / total(&lengths, &grid, &rules);
                assert!(more < most, "{name}, {count} texts, {max_age:?}: {more} times the best");
            }
        }
    }
}

#[test]
fn short_ones_pass_a_long_one_until_it_is_overdue() {
    let rules = Rules { max_age: Duration::from_millis(100), ..rules(8) };
    let (mut queue, now, grid) = (Waiting::default(), Instant::now(), fp32());
    let deadline = now + Duration::from_secs(10);
    queue.push(Text { length: 400, arrived: now, deadline }, "long", &grid, &rules);
    let early = Text { length: 9, arrived: now + Duration::from_millis(1), deadline };
    queue.push(early, "early", &grid, &rules);
    let next = |queue: &mut Waiting<&'static str>, ms| {
        let next = queue.next(now + Duration::from_millis(ms), &grid, &rules, |_| true);
        next.batch.map(|batch| batch.items)
    };
    assert_eq!(next(&mut queue, 50), Some(vec!["early"]));
    let late = Text { length: 9, arrived: now + Duration::from_millis(60), deadline };
    queue.push(late, "late", &grid, &rules);
    assert_eq!(next(&mut queue, 100), Some(vec!["long"]));
    assert_eq!(next(&mut queue, 101), Some(vec!["late"]));
    assert_eq!(next(&mut queue, 102), None);
}
