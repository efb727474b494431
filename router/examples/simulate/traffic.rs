//! Executions whose true rate of failure is known.

use std::collections::VecDeque;

use perch_router::judge::{Absolute, Execution};

use crate::dice::Dice;

/// How many rows an execution has.
#[derive(Clone, Copy)]
pub enum Size {
    Rows(u32),
    /// 1, 8 or 32, each a third of the executions.
    Mixed,
    /// 1 or 32, and single rows fail 3 times as often as the rate over all rows says.
    SmallOnesFail,
}

/// Which rows of an execution fail together.
#[derive(Clone, Copy, PartialEq)]
pub enum Fate {
    Alone,
    Halves,
    Together,
}

#[derive(Clone, Copy)]
pub struct Traffic {
    pub size: Size,
    pub fate: Fate,
    /// The share of rows that fail.
    pub rate: f64,
}

impl Traffic {
    /// Rows of the next execution, and how many of them fail.
    pub fn next(&self, dice: &mut Dice) -> (u32, u32) {
        let (rows, rate) = match self.size {
            Size::Rows(rows) => (rows, self.rate),
            Size::Mixed => ([1, 8, 32][dice.between(0, 2) as usize], self.rate),
            // Of 33 rows one is single: (3 * 1 + x * 32) / 33 = 1.
            Size::SmallOnesFail if dice.chance(0.5) => (1, 3.0 * self.rate),
            Size::SmallOnesFail => (32, self.rate * 30.0 / 32.0),
        };
        let bad = match self.fate {
            Fate::Alone => dice.count(rows, rate),
            Fate::Halves if rows > 1 => dice.count(2, rate) * rows / 2,
            Fate::Halves | Fate::Together => rows * u32::from(dice.chance(rate)),
        };
        (rows, bad)
    }
}

/// One execution at a time, ten a second: judged when it has ended. True where it demotes.
pub fn one_at_a_time(judge: &mut Absolute, rows: u32, bad: u32, now: f64, enough: f64) -> bool {
    let mut execution = judge.dispatch(rows);
    judge.bad_so_far(&mut execution, f64::from(bad) / f64::from(rows), now);
    judge.end(execution);
    bad > 0 && judge.verdict(enough, 3).decided
}

/// Executions in flight that all take equally long, with what is to come of them.
#[derive(Default)]
pub struct Flight(VecDeque<(f64, Option<Execution>, u32, u32)>);

impl Flight {
    pub fn push(&mut self, ends: f64, execution: Option<Execution>, rows: u32, bad: u32) {
        self.0.push_back((ends, execution, rows, bad));
    }

    /// Ends what is due. Executions that are not counted yet are so now. True where it demotes.
    pub fn land(&mut self, judge: &mut Absolute, now: f64, enough: f64) -> bool {
        let mut demoted = false;
        while let Some((ends, execution, rows, bad)) = self.0.pop_front_if(|first| first.0 <= now) {
            let mut execution = execution.unwrap_or_else(|| judge.dispatch(rows));
            judge.bad_so_far(&mut execution, f64::from(bad) / f64::from(rows), ends);
            judge.end(execution);
            demoted |= bad > 0 && judge.verdict(enough, 3).decided;
        }
        demoted
    }
}
