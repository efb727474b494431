//! Which rows of an execution went badly, as far as it is known: pure.

use std::time::Duration;

/// What became of one request's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PartState {
    /// Its rows.
    pub rows: u32,
    /// How long it has taken so far, where somebody looked.
    pub took: Duration,
    /// What the canary made of it.
    pub fault: Option<Fault>,
    /// Whether stable could do better.
    pub elsewhere: Elsewhere,
}

/// The canary failed a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Rows that it failed.
    pub rows: u32,
    /// The canary's weight as the request was routed, 0 to 1.
    pub weight: f64,
}

/// What stable made of a request that the canary failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// Not known yet.
    #[default]
    Pending,
    /// It is at work on it.
    Asked,
    /// It answered: the canary is to blame.
    Worked,
    /// It failed too: nobody is to blame but the request, or what both stand on.
    FailedToo,
    /// The canary said that the input is wrong, and stable says so too, or was not asked: a failure of neither.
    Refused,
    /// It was not asked, and was well at that time: the canary is to blame.
    NotAsked,
    /// It was not asked, and did not do well at that time.
    NotWell,
}

impl Elsewhere {
    /// Whether no version could answer it.
    const fn is_poison(self) -> bool {
        matches!(self, Self::FailedToo | Self::Refused)
    }
}

/// All requests of one execution that anybody has reported something of.
#[derive(Debug, Default)]
pub struct Parts {
    states: Vec<PartState>,
    /// The batch failed as a whole, and this is how many requests were in it.
    together: Option<u32>,
}

/// How many rows were bad, and how many say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bad rows.
    pub bad: u32,
    /// Rows that nobody can be blamed for, or of which it is not known.
    pub void: u32,
}

impl Parts {
    /// The state of part `index`, which has `rows` rows.
    pub fn of(&mut self, index: u32, rows: u32) -> Option<&mut PartState> {
        // A batch has no more requests than fit in memory.
        let index = usize::try_from(index).ok()?;
        if self.states.len() <= index {
            self.states.resize(index + 1, PartState::default());
        }
        let state = self.states.get_mut(index)?;
        state.rows = rows;
        Some(state)
    }

    /// The batch of so many requests failed as a whole.
    pub const fn fail_together(&mut self, requests: u32) {
        self.together = Some(requests);
    }

    /// Rows that failed by the canary's fault. Where a batch failed as a whole, that is not known before each of its
    /// requests was tried elsewhere: one that fails there too may have failed its neighbours here.
    pub fn failures(&self) -> Tally {
        let faults = || self.states.iter().filter_map(|part| Some((part, part.fault?)));
        let all: u32 = faults().map(|(_, fault)| fault.rows).sum();
        let (mut bad, mut known, mut poisoned) = (0, 0, false);
        for (part, fault) in faults() {
            known += u32::from(!matches!(part.elsewhere, Elsewhere::Pending | Elsewhere::Asked));
            poisoned |= part.elsewhere.is_poison();
            if matches!(part.elsewhere, Elsewhere::Worked | Elsewhere::NotAsked) {
                bad += fault.rows;
            }
        }
        match self.together {
            Some(requests) if requests > 1 && (poisoned || known < requests) => Tally { bad: 0, void: all },
            _ => Tally { bad, void: all - bad },
        }
    }

    /// Rows that took longer than `limit`.
    pub fn slower(&self, limit: Duration) -> u32 {
        self.states.iter().filter(|part| part.took > limit).map(|part| part.rows).sum()
    }

    /// The canary's weight for each row that it failed, whoever is to blame, as stable's own failures are counted: an
    /// input that is refused is none, and in a batch that one of its requests poisoned only that one failed. Stable runs
    /// such a batch again, request by request.
    pub fn weights(&self) -> Vec<f64> {
        let poisoned = self.together.is_some_and(|requests| requests > 1)
            && self.states.iter().any(|part| part.fault.is_some() && part.elsewhere.is_poison());
        let failed = |part: &&PartState| match part.elsewhere {
            Elsewhere::Refused => false,
            Elsewhere::FailedToo => true,
            _ => !poisoned,
        };
        let faults = self.states.iter().filter(failed).filter_map(|part| part.fault);
        faults.flat_map(|fault| std::iter::repeat_n(fault.weight, fault.rows as usize)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(together: Option<u32>, list: &[(u32, Elsewhere)]) -> Parts {
        let mut parts = Parts::default();
        for (index, (rows, elsewhere)) in (0..).zip(list) {
            let part = parts.of(index, *rows).expect("a part");
            part.fault = Some(Fault { rows: *rows, weight: 0.1 });
            part.elsewhere = *elsewhere;
        }
        if let Some(requests) = together {
            parts.fail_together(requests);
        }
        parts
    }

    #[test]
    fn only_what_stable_does_better_is_the_canarys_fault() {
        use Elsewhere::{Asked, FailedToo, NotAsked, NotWell, Pending, Refused, Worked};
        for (together, list, bad, void) in [
            (None, &[(1, Worked)][..], 1, 0),
            (None, &[(1, FailedToo)], 0, 1),
            (None, &[(1, Pending)], 0, 1),
            (None, &[(1, Asked)], 0, 1),
            (None, &[(1, Refused)], 0, 1),
            (Some(2), &[(4, Worked), (1, Asked)], 0, 5),
            (Some(2), &[(4, Worked), (1, Refused)], 0, 5),
            (None, &[(1, NotAsked)], 1, 0),
            (None, &[(1, NotWell)], 0, 1),
            (None, &[(2, Worked), (3, FailedToo)], 2, 3),
            (Some(1), &[(4, Worked)], 4, 0),
            (Some(2), &[(4, Worked)], 0, 4),
            (Some(2), &[(4, Worked), (1, Pending)], 0, 5),
            (Some(2), &[(4, Worked), (1, Worked)], 5, 0),
            (Some(2), &[(4, Worked), (1, FailedToo)], 0, 5),
            (Some(2), &[(4, Worked), (1, NotWell)], 4, 1),
        ] {
            assert_eq!(parts(together, list).failures(), Tally { bad, void }, "{together:?} {list:?}");
        }
    }

    #[test]
    fn raw_failures_are_those_that_stable_would_have_had() {
        use Elsewhere::{FailedToo, Refused, Worked};
        for (together, list, rows) in [
            (None, &[(2, Worked), (3, FailedToo)][..], 5),
            (None, &[(2, Worked), (3, Refused)], 2),
            (Some(1), &[(3, FailedToo)], 3),
            (Some(1), &[(3, Refused)], 0),
            (Some(2), &[(2, Worked), (3, Worked)], 5),
            (Some(2), &[(2, Worked), (3, FailedToo)], 3),
            (Some(2), &[(2, Worked), (3, Refused)], 0),
        ] {
            assert_eq!(parts(together, list).weights().len(), rows, "{together:?} {list:?}");
        }
    }

    #[test]
    fn slowness_is_counted_by_rows() {
        let mut parts = Parts::default();
        parts.of(3, 8).expect("a part").took = Duration::from_millis(20);
        parts.of(0, 2).expect("a part").took = Duration::from_millis(10);
        assert_eq!(parts.slower(Duration::from_millis(20)), 0);
        assert_eq!(parts.slower(Duration::from_millis(15)), 8);
        assert_eq!(parts.slower(Duration::ZERO), 10);
        assert!(parts.weights().is_empty());
    }
}
