//! What the tests of this room share: followers that count, and texts that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::{Answer, InferError};
use super::compose::Rules;
use super::flight::{Cell, Dispatched, Flight, Follow, Followed};
use super::grid::CostGrid;
use super::job::{Input, Job, Text, Told};
use super::queue::Texts;
use crate::text::{Finish, Sequence, Want};

/// Counts what it hears.
#[derive(Default)]
pub(super) struct Counted {
    /// Rows that were dispatched.
    pub(super) dispatched: AtomicU32,
    /// Answers that nobody waited for.
    pub(super) abandoned: AtomicU32,
}

impl Follow for Counted {
    fn dispatched(self: Arc<Self>, what: Dispatched) -> Arc<dyn Flight> {
        self.dispatched.fetch_add(what.rows, Ordering::Relaxed);
        self
    }
}

impl Flight for Counted {
    fn answered_elsewhere(&self) -> bool {
        true
    }
    fn failed(&self) {}
    fn withdrawn(&self) {}
    fn abandoned(&self, _: u32, _: u32, _: Duration, _: Result<&Answer, &InferError>) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is left of a text that was sent.
pub(super) struct Sent {
    pub(super) told: oneshot::Receiver<Told>,
    pub(super) cell: Arc<Cell>,
}

/// A text of `length` tokens that came `age` ago.
pub(super) fn text(length: usize, age: u64, follow: &Arc<Counted>) -> (Job, Sent) {
    let (reply, told) = oneshot::channel();
    let (now, cell) = (Instant::now(), Arc::<Cell>::default());
    let sequence = Sequence { ids: vec![7; length], type_ids: Vec::new(), skip: 0 };
    let input = Input::Text(Box::new(Text { sequence, want: Want::Embedding(Finish::default()) }));
    let arrived = now.checked_sub(Duration::from_millis(age)).expect("a moment");
    let follow: Arc<dyn Follow> = follow.clone();
    let followed = Some(Followed::new((follow, arrived), Some(cell.clone())));
    let job = Job { input, rows: 1, arrived, deadline: now + Duration::from_secs(60), reply, followed, home: None };
    (job, Sent { told, cell })
}

/// Runs of up to two texts, the oldest first once it has waited for 100 ms.
pub(super) fn queue() -> Texts {
    let max_age = Duration::from_millis(100);
    let (buckets, ceilings) = (Box::default(), Vec::new());
    let rules = Rules { max_rows: 2, max_padded: None, may_pad: true, buckets, few_shapes: false, ceilings, max_age };
    let mut grid = CostGrid::new(2, 512);
    while let Some(point) = grid.next_point(Duration::MAX, |_| true) {
        // Company costs next to nothing, length does.
        let micros = (point.length * 100 + point.rows) as u64;
        grid.measured(point, Duration::from_micros(micros));
    }
    Texts::new(grid, rules, Duration::from_secs(2))
}
