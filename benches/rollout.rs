//! What a rollout adds to a request: choosing a track, and telling the judge.
//!
//! `cargo bench --bench rollout`. Targets: pick below 20 ns, record below 50 ns on one thread and below 100 ns on two.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use perch_models::run::{Dispatched, Follow};
use perch_router::policy::RolloutPolicy;
use perch_router::split::Split;
use perch_router::weight::Weight;
use perch_server::rollouts::Clock;
use perch_server::rollouts::live::{Ended, Live, Local, Plan, Stored, slots};
use tokio::sync::mpsc;

const ENDED: Ended = Ended { rows: 1, bad: 0, each: 1, took: Duration::from_micros(150) };

const ONE: Dispatched = Dispatched { rows: 1, parts: 1, requests: 1, timed: 1 };

/// As in the binary: a flight is an allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A rollout of the default policy at 10 %, on two threads.
fn live(split: Split) -> Arc<Live> {
    let mut policy = RolloutPolicy::phased();
    policy.routing.split = split;
    let plan = Plan {
        model: "m".into(),
        rollout: "m/sha256:aa/1".into(),
        start: 1,
        digest: "sha256:aa".into(),
        policy: Arc::new(policy),
        timeout: Duration::from_secs(10),
        slots: 3,
        stored: Stored { executions: 1000, ..Stored::default() },
        seat: None,
        trips: mpsc::unbounded_channel().0,
        clock: Clock::default(),
    };
    let live = Live::new(plan);
    live.set_weight(Weight::from_ten_thousandths(1000).unwrap_or_default(), true);
    // As after the first minute: latency is compared with stable's.
    live.judges
        .iter()
        .filter(|judge| judge.is_latency())
        .for_each(|judge| judge.set_slow_after(Some(Duration::from_secs(1))));
    live
}

/// One execution of one request that goes well.
fn record(live: &Arc<Local>) {
    let flight = Arc::clone(live).dispatched(ONE);
    live.canary_ended(ENDED);
    drop(black_box(flight));
}

/// The time of `count` records on each of two threads at once.
fn at_two_threads(live: &Arc<Live>, count: u64) -> Duration {
    let locals = Local::all(live, 2);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (slot, local) in locals.iter().enumerate() {
            scope.spawn(move || {
                slots::own(slot);
                (0..count).for_each(|_| record(local));
            });
        }
    });
    began.elapsed()
}

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    let balanced = live(Split::Balanced);
    group.bench_function("balanced", |b| b.iter(|| balanced.pick(black_box(None))));
    let hash = live(Split::Hash);
    group.bench_function("by key", |b| b.iter(|| hash.pick(black_box(Some(b"user-12345")))));
    group.finish();
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let live = live(Split::Balanced);
    let (weight, locals) = (live.weight(), Local::all(&live, 1));
    slots::own(0);
    group.bench_function("canary", |b| b.iter(|| record(&locals[0])));
    group.bench_function("canary, two threads", |b| b.iter_custom(|count| at_two_threads(&live, count)));
    group.bench_function("stable", |b| b.iter(|| live.stable_ended(weight, black_box(ENDED))));
    group.finish();
}

criterion_group!(benches, pick, records);
criterion_main!(benches);
