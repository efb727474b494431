//! The task that speaks with the other replicas, through the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use perch_router::fleet::{Clock, Pool, Reports, SILENT, TICK, Ticks};
use perch_router::weight::Weight;
use perch_store::fleet::{Beat, Heard};
use perch_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{Fleet, PATIENCE, Work, note};
use crate::metrics::rollouts as metrics;
use crate::rollouts::handle::Event;
use crate::rollouts::patience::within;

/// While nothing is tried, it is looked for changes so often.
const IDLE: Duration = Duration::from_secs(1);
/// Of the members it is heard each so many rounds.
const MEMBERS: u64 = 4;
/// A round shall take this part of the time between two reports at most.
const SPARE: f64 = 1.25;
/// One report in so many ticks at least: a second, while others wait for two.
const SLOWEST: u32 = 4;
/// A pool that is so many ticks behind is everybody's business.
const BEHIND: u64 = 4;

struct Link {
    fleet: Arc<Fleet>,
    began: Instant,
    clock: Clock,
    ticks: Ticks,
    rounds: u64,
    /// How long a round takes, as far as is known: the longest of late.
    takes: Duration,
    /// Since when the store answers.
    well: Option<Instant>,
}

impl Fleet {
    /// Takes part until `stopping`, and says so when it ends.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let fleet = self.clone();
        let link = async {
            let mut link = Link {
                fleet,
                began: Instant::now(),
                clock: Clock::default(),
                ticks: Ticks::default(),
                rounds: 0,
                takes: Duration::ZERO,
                well: None,
            };
            stopping.run_until_cancelled(Box::pin(link.turn())).await;
            link.farewell().await;
        };
        tokio::join!(link, self.clone().listen(stopping.clone()));
    }
}

impl Link {
    async fn turn(&mut self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                () = self.fleet.wake.notified() => {}
            }
            self.round(false).await;
        }
    }

    /// The store's time, as far as it is known.
    fn now(&self) -> Option<Duration> {
        self.clock.now(self.began.elapsed())
    }

    /// Until the next tick, while something is tried.
    fn pause(&self) -> Duration {
        if self.fleet.work.lock().is_empty() {
            return IDLE;
        }
        let Some(now) = self.now() else { return TICK };
        let step = TICK * self.every();
        let into = Duration::from_nanos(u64::try_from(now.as_nanos() % step.as_nanos()).unwrap_or(0));
        // A little later, so that it has begun by all means.
        step.saturating_sub(into) + Duration::from_millis(1)
    }

    /// One tick of so many is reported: all of them, unless the store is too slow for that.
    fn every(&self) -> u32 {
        let ticks = self.takes.as_secs_f64() * SPARE / TICK.as_secs_f64();
        [1, 2].into_iter().find(|every| f64::from(*every) >= ticks).unwrap_or(SLOWEST)
    }

    /// A round took so long. What is over is forgotten slowly: a store that is slow now and then is slow.
    fn took(&mut self, round: Duration) {
        self.takes = round.max(self.takes.mul_f64(0.98));
    }

    async fn round(&mut self, last: bool) {
        let began = Instant::now();
        let work = self.fleet.work.lock().clone();
        let every = self.every();
        self.gauge(&work);
        let due = self.now().and_then(|now| self.ticks.due(now, every.into()));
        // Only at a tick there is something to say.
        let beats: Vec<Beat> =
            due.into_iter().flat_map(|tick| work.values().filter_map(move |work| beat(work, tick, last))).collect();
        match self.beat(&beats).await {
            Ok(heard) => self.hear(heard, &work).await,
            Err(error) => return self.lose(&error),
        }
        if last {
            return;
        }
        if let Some(tick) = due {
            self.rounds += 1;
            for (model, work) in &work {
                let done = self.follow(model, work, tick).await;
                if let Err(error) = done {
                    return self.lose(&error);
                }
            }
        }
        self.fleet.heard.count_lost();
        self.took(began.elapsed());
    }

    /// Says it, and learns the time.
    async fn beat(&mut self, beats: &[Beat]) -> Result<Heard, StoreError> {
        let fleet = self.fleet.clone();
        let before = self.began.elapsed();
        let replica = fleet.replica();
        let heard = patiently("beat", fleet.store.beat(&replica, beats)).await?;
        self.clock.learn(before, heard.at, self.began.elapsed());
        if let Some(now) = self.now() {
            fleet.clock.set(now.as_secs_f64());
        }
        self.well.get_or_insert_with(Instant::now);
        if fleet.away.swap(false, Relaxed) {
            tracing::info!("the store answers again");
            fleet.rollouts.set_store(Ok(fleet.store.clone()));
        }
        Ok(heard)
    }

    /// What is known, be the store there or not: evidence that nobody brings on gets old.
    fn gauge(&self, work: &BTreeMap<String, Work>) {
        let Some(now) = self.now() else { return };
        let tick = u64::try_from(now.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        for (model, work) in work {
            let Some(together) = work.live.together() else { continue };
            let (living, ready) = self.fleet.readiness(model, work.note.ready);
            let behind = u32::try_from(together.behind(tick)).unwrap_or(u32::MAX);
            metrics::set_fleet(model, living, ready, TICK.saturating_mul(behind));
        }
    }

    /// The store is away: the driver need not try it, and says so.
    fn lose(&mut self, error: &StoreError) {
        self.well = None;
        if !self.fleet.away.swap(true, Relaxed) {
            tracing::error!(error = error.message, "the store does not answer: each replica judges by itself");
        }
        self.fleet.rollouts.set_store(Err(error.message.clone()));
    }

    async fn hear(&self, heard: Heard, work: &BTreeMap<String, Work>) {
        let fleet = &self.fleet;
        *fleet.replicas.lock() = Arc::new(heard.replicas);
        for work in work.values() {
            if let Some(pool) = heard.pools.get(&work.live.rollout) {
                work.live.learn(pool);
            }
        }
        let news: Vec<(String, u64)> = {
            let known = fleet.known.lock();
            let is_new = |(model, stored): &(String, u64)| known.get(model).is_some_and(|known| known < stored);
            heard.generations.into_iter().filter(is_new).collect()
        };
        if news.is_empty() {
            return;
        }
        for (model, generation) in &news {
            fleet.heard.found(model, *generation);
        }
        match patiently("states", Store::states(&*fleet.store)).await {
            // Nobody listens any more at shutdown.
            Ok(states) => _ = fleet.rollouts.0.events.send(Event::Stored(states)),
            // They are asked for again with the next round.
            Err(error) => tracing::debug!(error = error.message, "states that others have stored cannot be read"),
        }
    }

    /// What the others say of a rollout, and the pool, where it is this replica's turn to bring it on.
    async fn follow(&mut self, model: &str, work: &Work, tick: u64) -> Result<(), StoreError> {
        let fleet = self.fleet.clone();
        let Some(together) = work.live.together() else { return Ok(()) };
        if self.rounds.is_multiple_of(MEMBERS) || work.members.is_empty() {
            let members = note::members(patiently("members", fleet.store.members(&work.live.rollout)).await?);
            together.set_others(note::others(&members, |boot| together.is_own(boot)));
            if let Some(work) = fleet.work.lock().get_mut(model) {
                work.members = Arc::new(members);
            }
        }
        if together.behind(tick) > BEHIND || self.has_turn(model, tick) {
            self.bring_on(work).await?;
        }
        Ok(())
    }

    /// At each tick another one of those who live.
    fn has_turn(&self, model: &str, tick: u64) -> bool {
        let living = self.fleet.living(model);
        // Not in turn: of slow replicas only each second tick is seen, or each fourth.
        let mixed = usize::try_from(tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).unwrap_or(0);
        let turn = mixed % living.len().max(1);
        living.get(turn).is_none_or(|replica| replica.boot == self.fleet.boot)
    }

    async fn bring_on(&self, work: &Work) -> Result<(), StoreError> {
        // After a silence of the store, all others seem to be silent.
        if self.well.is_none_or(|well| well.elapsed() < SILENT) {
            return Ok(());
        }
        let (store, rollout) = (&self.fleet.store, &work.live.rollout);
        let Some(gathered) = patiently("gather", store.gather(rollout)).await? else { return Ok(()) };
        let (pool, ages) = (gathered.pool, gathered.ages);
        let mut reports = Reports::default();
        let mut buried: Vec<String> = Vec::new();
        for (boot, report) in gathered.reports {
            if pool.is_buried(&boot) {
                buried.push(boot);
            } else {
                reports.put(&boot, report);
            }
        }
        let next = reports.cut(&pool, |boot| ages.get(boot).copied()).map(|cut| pool.advance(&cut));
        let next: Pool = match next.filter(|next| next.tick() > pool.tick()) {
            Some(next) if patiently("advance", store.advance(rollout, pool.tick(), &next, &buried)).await? => next,
            // Somebody else was faster, or somebody has not reported yet.
            _ => pool,
        };
        work.live.learn(&next);
        Ok(())
    }

    /// Nobody waits for this replica any more: what it has counted stays.
    async fn farewell(&mut self) {
        let work = self.fleet.work.lock().clone();
        // What would still be dispatched would never be told of.
        work.values().for_each(|work| work.live.set_weight(Weight::ZERO, false));
        if !self.fleet.is_away() {
            tokio::time::sleep(self.pause().min(TICK * SLOWEST)).await;
            self.round(true).await;
            let _ = patiently("leave", self.fleet.store.leave(&self.fleet.boot)).await;
        }
    }
}

/// What a replica says about one rollout at a tick.
fn beat(work: &Work, tick: u64, last: bool) -> Option<Beat> {
    let (boot, report) = work.live.report(tick, last)?;
    let known = work.live.together()?.pool_tick();
    let rollout = work.live.rollout.clone();
    Some(Beat { rollout, boot, report: Some(report), note: work.note.to_value(), known })
}

/// A call of the store, for as long as a replica may be silent.
pub(super) async fn patiently<T>(
    call: &'static str,
    calling: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let began = Instant::now();
    let answer = within(PATIENCE, calling).await;
    metrics::store_call(call, began.elapsed());
    answer
}
