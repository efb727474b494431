//! A reactor's turn: the lanes of all versions that have something open run one right after the other.
//!
//! The first lane that opens spawns a runner that yields once. By then every other request that is readable on this
//! thread has been parsed and has joined its lane; the runner then runs them all. There is no timer and no hand-off
//! between threads, either of which costs more than a small model's run. One runner for all: were each lane to run by
//! itself, the answers of one would be sent before the next has run, and whoever waits for both would be woken twice,
//! which costs as much as a run does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::lane::Lane;

/// After this other tasks of the reactor are let in.
const MOST: Duration = Duration::from_micros(500);

/// The turns of all reactors, by number. Clones share them.
#[derive(Clone)]
pub struct Turns(Arc<[Arc<Turn>]>);

/// Those of one reactor. Only its thread uses it, so its lock is never waited for.
pub(crate) struct Turn {
    /// Lanes that wait; where there are any, a runner is on its way.
    open: Mutex<Vec<Arc<Lane>>>,
    most: Duration,
    tasks: TaskTracker,
}

impl Turns {
    /// Turns of so many reactors; `tasks` waits for what runs at shutdown.
    #[must_use]
    pub fn new(reactors: usize, tasks: &TaskTracker) -> Self {
        Self::of(reactors, MOST, tasks)
    }

    fn of(reactors: usize, most: Duration, tasks: &TaskTracker) -> Self {
        let turn = || Arc::new(Turn { open: Mutex::default(), most, tasks: tasks.clone() });
        Self((0..reactors).map(|_| turn()).collect())
    }

    /// How many reactors there are.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Turn>> {
        self.0.iter()
    }
}

impl Turn {
    /// A lane has something open.
    pub(crate) fn join(self: &Arc<Self>, lane: Arc<Lane>) {
        let first = {
            let mut open = self.open.lock();
            open.push(lane);
            open.len() == 1
        };
        if first {
            // A task of its own: were it the first request's future, a client that hangs up would take others with it.
            let turn = Arc::clone(self);
            self.tasks.spawn(async move {
                tokio::task::yield_now().await;
                while turn.run() {
                    // Let requests that arrived meanwhile be read before the rest is run.
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// Runs a batch of each lane. True when more is waiting.
    fn run(&self) -> bool {
        let began = Instant::now();
        let lanes = std::mem::take(&mut *self.open.lock());
        let (mut waiting, mut again) = (Vec::new(), Vec::new());
        for lane in lanes {
            if began.elapsed() > self.most {
                waiting.push(lane);
            // A panic is the end of this lane's batch, not of the reactor's turns.
            } else if catch_unwind(AssertUnwindSafe(|| lane.take_turn())).unwrap_or(true) {
                again.push(lane);
            }
        }
        let mut open = self.open.lock();
        // Who has not had a turn comes first, and who wants another one last.
        open.splice(0..0, waiting);
        open.append(&mut again);
        !open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    use tokio::sync::oneshot;

    use crate::backend::{Backend, LoadError, Loader, RunError, SessionOptions, Terminator};
    use crate::cost::CostCurve;
    use crate::dtype::DType;
    use crate::run::job::{Input, Job, Told};
    use crate::run::lane::Shared;
    use crate::run::pool::{Limits, Pool};
    use crate::run::queue::Fifo;
    use crate::run::session::Session;
    use crate::run::{Execution, Observer};
    use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};
    use crate::tensor::{Column, Data, Shape, Tensor};
    use crate::testing::Ended;
    use crate::version::Context;
    use crate::watchdog::Watchdog;

    type Log = Arc<Mutex<Vec<&'static str>>>;

    /// Answers with its input, and says when it has run.
    struct Echo(&'static str, Duration, Log, Signature);

    impl Backend for Echo {
        fn signature(&self) -> &Signature {
            &self.3
        }

        fn terminator(&self) -> Arc<dyn Terminator> {
            Arc::new(Ended::default())
        }

        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
            std::thread::sleep(self.1);
            self.2.lock().push(self.0);
            Ok(inputs.iter().cloned().map(Column::Tensor).collect())
        }
    }

    struct Nothing;

    impl Loader for Nothing {
        fn open(&self, _: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
            unreachable!("nothing is loaded")
        }

        fn trim(&self) {}
    }

    impl Observer for Nothing {
        fn executed(&self, _: &Execution) {}
    }

    /// Lanes of turns of `most`, each of a version that takes so long, and what they do.
    fn lanes(names: &[&'static str], takes: Duration, most: Duration) -> (Vec<Arc<Lane>>, Log) {
        let tasks = TaskTracker::new();
        let (turns, log, watchdog) = (Turns::of(1, most, &tasks), Log::default(), Watchdog::start().expect("a thread"));
        let context = Context { loader: &Nothing, watchdog: &watchdog, observer: Arc::new(Nothing), turns, tasks };
        let spec = || TensorSpec { name: "x".into(), dtype: DType::F32, shape: vec![Dim::Free(None); 2] };
        let lane = |name: &&'static str| {
            let signature = Signature { inputs: vec![spec()], outputs: vec![OutputSpec::Tensor(spec())] };
            let session = Session::new(Box::new(Echo(name, takes, log.clone(), signature)), &context, true, None);
            let limits = Limits { max_queue: Duration::from_secs(1), max_delay: Duration::ZERO };
            let queues = (Fifo::new(CostCurve::new([]), 1), None);
            let pool = Pool::start("test", Vec::new(), queues, limits, context.tasks.clone()).expect("no threads");
            let shared = Arc::new(Shared { inline: AtomicBool::new(true), pool });
            Arc::new(Lane::new(session, 64, context.turns.0[0].clone(), shared))
        };
        (names.iter().map(lane).collect(), log)
    }

    /// Sends a row of `width` values.
    fn send(lane: &Arc<Lane>, width: usize) -> oneshot::Receiver<Told> {
        let (reply, told) = oneshot::channel();
        let row = Tensor::new(Shape::from_slice(&[1, width]), Data::F32(vec![1.0; width])).expect("it fits");
        let (arrived, input) = (Instant::now(), Input::Tensors(vec![row]));
        let deadline = arrived + Duration::from_secs(60);
        lane.submit(Job { input, rows: 1, arrived, deadline, reply, followed: None, home: None });
        told
    }

    #[tokio::test]
    async fn all_versions_run_before_anybody_is_answered() {
        let (lanes, log) = lanes(&["stable", "canary"], Duration::ZERO, Duration::from_secs(60));
        let clients = TaskTracker::new();
        let waits = |told: oneshot::Receiver<Told>| {
            let log = log.clone();
            clients.spawn(async move {
                told.await.expect("an answer");
                log.lock().push("answered");
            })
        };
        let waiting: Vec<_> = [0, 1, 0, 1].map(|lane| waits(send(&lanes[lane], 1))).into();
        for task in waiting {
            task.await.expect("an answer");
        }
        let expected = ["stable", "canary", "answered", "answered", "answered", "answered"];
        assert_eq!(*log.lock(), expected, "two rows a run, and one turn");
    }

    #[tokio::test]
    async fn a_version_with_much_to_do_lets_others_in() {
        let (lanes, log) = lanes(&["busy", "other"], 2 * MOST, MOST);
        // Rows of different widths cannot share a run.
        let told: Vec<_> = [(0, 1), (0, 2), (0, 3), (1, 1)].map(|(lane, width)| send(&lanes[lane], width)).into();
        for told in told {
            told.await.expect("an answer");
        }
        assert_eq!(*log.lock(), ["busy", "other", "busy", "busy"]);
        let told = send(&lanes[0], 1);
        told.await.expect("its turn comes again");
    }
}
