//! A judge's part in a fleet: what it publishes, and what it hears of the pool.

use perch_router::fleet::{Pool, Share};
use perch_router::judge::{Debits, Verdict};

use super::{Judge, Test, counted};

impl Judge {
    /// What this replica publishes, and how often it has begun again; none where it judges by itself.
    pub fn share(&self) -> Option<(u32, Share)> {
        let mut state = self.state.lock();
        let counts = Debits::read(&self.shards);
        let Test::Member(member) = &mut state.test else { return None };
        let share = member.share(&counts);
        Some((member.births(), share))
    }

    /// What this replica has seen alone: evidence, what is enough, executions, and those with bad rows.
    pub fn alone(&self) -> Option<Verdict> {
        let mut state = self.state.lock();
        let counts = Debits::read(&self.shards);
        let seen = counted(&state, &counts);
        let Test::Member(member) = &mut state.test else { return None };
        member.charge(&counts);
        self.of_chain(member.alone(), &seen)
    }

    /// The pool has gone on. `is_buried`: whether it hears nothing more of this process since it began for so many times.
    pub fn learn(&self, pool: &Pool, is_buried: impl Fn(u32) -> bool) {
        let Some(pooled) = pool.metric(&self.metric.name) else { return };
        let mut state = self.state.lock();
        let counts = Debits::read(&self.shards);
        let Test::Member(member) = &mut state.test else { return };
        member.learn(pooled.epochs(), is_buried(member.births()), &counts);
        self.shared.opened(member.epochs());
        state.pooled = self.limit().map(|limit| pooled.verdict(limit.share(), self.pooled_enough, self.min_failures));
    }
}
