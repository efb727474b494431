//! Fleets: the pooled chain against its definition, and against one process that has everybody's executions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[expect(dead_code, reason = "others count with it")]
#[path = "../judge/dice.rs"]
mod dice;
mod promise;
mod reports;
mod world;

use dice::Dice;
use perch_router::{evidence::Counts, fleet::Pool};
use proptest::prelude::*;
use world::{METRIC, Mail, Replica, World};

fn close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-9, "{what}: {ours} for {theirs}");
}

/// A part of a tick on one replica: executions start, turn bad and end, failures sooner than successes or later.
fn busy(world: &mut World, replica: &mut Replica, rate: f64, most_rows: u32, now: f64, dice: &mut Dice) {
    for _ in 0..dice.between(0, 6) {
        world.dispatch(replica, dice.between(1, most_rows));
    }
    let most = dice.between(0, 12) as usize;
    let mut place = 0;
    while place < replica.in_flight() {
        if dice.chance(rate) {
            world.turns_bad(replica, place, dice.between(1, most_rows), now);
        }
        if replica.in_flight() > most && dice.chance(0.6) {
            replica.end(place);
        } else {
            place += 1;
        }
    }
}

/// The same at a limit of 5 %, with failures that end at once and successes that take a second.
fn busy_at_limit(world: &mut World, replica: &mut Replica, now: f64, dice: &mut Dice) {
    for _ in 0..3 {
        world.dispatch(replica, 1);
        if dice.chance(0.05) {
            let place = replica.in_flight() - 1;
            world.turns_bad(replica, place, 1, now);
            replica.end(place);
        }
    }
    while replica.in_flight() > 12 {
        replica.end_in_order(0);
    }
}

/// A fleet of which replicas die, restart, fall silent for longer than they may, and hear of epochs late.
fn fleet(seed: u64, replicas: u32, ticks: u64) -> (u64, u64) {
    let mut dice = Dice::new(seed);
    let p0 = [0.01, 0.05, 0.4, 0.001][dice.between(0, 3) as usize];
    let (most_rows, rate) = ([1, 8, 40][dice.between(0, 2) as usize], [0.02, 0.2, 0.6][dice.between(0, 2) as usize]);
    let mut world = World::new(p0);
    let (mut mail, mut pool) = (Mail::default(), Pool::new([METRIC]));
    let mut fleet: Vec<Replica> = (0..replicas).map(|n| Replica::new(&format!("r{n}"), p0, 0)).collect();
    // Replicas that say nothing, up to which tick.
    let mut silent = vec![0_u64; fleet.len()];
    let (mut names, mut advanced, mut buried) = (replicas, 0, 0);
    for tick in 1..=ticks {
        for (replica, silent) in fleet.iter_mut().zip(&mut silent) {
            if dice.chance(0.01) {
                // It dies with what it has in flight, and what it has not reported; another starts, and says so before it
                // counts anything.
                *replica = Replica::new(&format!("r{names}"), p0, pool.metric(METRIC).unwrap().epochs());
                mail.send(&replica.boot(), replica.report(tick - 1), tick - 1);
                mail.deliver(tick - 1, &mut dice);
                names += 1;
            } else if dice.chance(0.02) {
                *silent = tick + u64::from(dice.between(1, 20));
            }
            busy(&mut world, replica, rate, most_rows, f64::from(u32::try_from(tick).unwrap()) / 4.0, &mut dice);
            if *silent < tick {
                let report = replica.report(tick);
                world.reported(&replica.boot(), tick);
                mail.send(&replica.boot(), report, tick + u64::from(dice.between(0, 3)));
                if dice.chance(0.5) {
                    replica.learn(&pool);
                }
            }
        }
        mail.deliver(tick, &mut dice);
        if dice.chance(0.7) {
            let cut = mail.arrived.cut(&pool, |boot| mail.age(boot, tick));
            let Some(cut) = cut else { continue };
            let next = pool.advance(&cut);
            assert_eq!(
                (next.tick(), next.advance(&cut) == next, next.advance(&cut).tick()),
                (cut.tick, true, cut.tick)
            );
            world.take(
                cut.rows.iter().filter(|row| !pool.is_late(row)).map(|row| (row.boot.to_owned(), row.report.tick)),
            );
            (advanced, buried) = (advanced + 1, buried + cut.rows.iter().filter(|row| row.buried).count() as u64);
            pool = next;
            // As it is stored.
            pool = serde_json::from_str(&serde_json::to_string(&pool).unwrap()).unwrap();
            if dice.chance(0.3) {
                mail.arrived.trim(&pool);
            }
            let pooled = pool.metric(METRIC).unwrap();
            close(pooled.log_e(), world.log_e(pooled.epochs()), &format!("seed {seed}, tick {tick}"));
            assert_eq!(pooled.counts().bad_executions, world.bad());
        }
    }
    let epochs = pool.metric(METRIC).unwrap().epochs();
    assert!(advanced > 0);
    (epochs, buried)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_is_its_definition(seed in any::<u64>(), replicas in 1..6_u32) {
        fleet(seed, replicas, 80);
    }

    #[test]
    fn the_pool_is_one_process(seed in any::<u64>(), replicas in 2..6_usize) {
        one_process(seed, replicas, 80);
    }
}

/// The cases above have what they are meant to have.
#[test]
fn fleets_open_epochs_and_lose_replicas() {
    let (epochs, buried) =
        (0..10).map(|seed| fleet(seed, 4, 200)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(epochs > 50 && buried > 10, "{epochs} epochs, {buried} buried");
}

/// The same executions on several replicas, and on one: the same code, one stream.
fn one_process(seed: u64, replicas: usize, ticks: u64) {
    let (mut dice, p0) = (Dice::new(seed), 0.05);
    let mut union = Replica::new("union", p0, 0);
    let mut fleet: Vec<Replica> = (0..replicas).map(|n| Replica::new(&format!("r{n}"), p0, 0)).collect();
    let (mut worlds, mut pools) = ([World::new(p0), World::new(p0)], [Pool::new([METRIC]), Pool::new([METRIC])]);
    let (mut reports, mut alone) = (Mail::default(), Mail::default());
    // On which replica each execution in flight is, in the union's order, which is each replica's own.
    let mut flight: Vec<usize> = Vec::new();
    for tick in 1..=ticks {
        let now = f64::from(u32::try_from(tick).unwrap()) / 4.0;
        for _ in 0..dice.between(0, 12) {
            let (place, rows) = (dice.between(0, u32::try_from(replicas - 1).unwrap()) as usize, dice.between(1, 40));
            // The largest batch is everybody's: otherwise weights differ, which is allowed, and no union.
            let largest = fleet.iter().map(|replica| replica.largest).max().unwrap_or(0).max(union.largest);
            fleet[place].largest = largest;
            union.largest = largest;
            worlds[0].dispatch(&mut fleet[place], rows);
            worlds[1].dispatch(&mut union, rows);
            flight.push(place);
        }
        let mut at = 0;
        while at < flight.len() {
            let place = flight[at];
            let there = flight[..at].iter().filter(|other| **other == place).count();
            if dice.chance(0.1) {
                let bad = dice.between(1, 40);
                worlds[0].turns_bad(&mut fleet[place], there, bad, now);
                worlds[1].turns_bad(&mut union, at, bad, now);
            }
            if dice.chance(0.3) {
                fleet[place].end_in_order(there);
                union.end_in_order(at);
                flight.remove(at);
            } else {
                at += 1;
            }
        }
        for replica in &mut fleet {
            let report = replica.report(tick);
            reports.send(&replica.boot(), report, tick);
        }
        let report = union.report(tick);
        alone.send("union.0", report, tick);
        reports.deliver(tick, &mut dice);
        alone.deliver(tick, &mut dice);
        for (pool, mail) in pools.iter_mut().zip([&reports, &alone]) {
            *pool = pool.advance(&mail.arrived.cut(pool, |boot| mail.age(boot, tick)).unwrap());
            assert_eq!(pool.tick(), tick);
        }
        let [pooled, one] = [&pools[0], &pools[1]].map(|pool| pool.metric(METRIC).unwrap());
        close(pooled.log_e(), one.log_e(), &format!("seed {seed}, tick {tick}"));
        // Each rounds its bad rows: parts of rows, where a batch has more than 32.
        let [ours, theirs] = [pooled, one].map(|pooled| (pooled.epochs(), Counts { bad_rows: 0, ..*pooled.counts() }));
        assert_eq!(ours, theirs);
        // All hear at once, or nobody.
        if dice.chance(0.7) && fleet.iter().all(Replica::may_learn) && union.may_learn() {
            fleet.iter_mut().for_each(|replica| replica.learn(&pools[0]));
            union.learn(&pools[1]);
        }
    }
}

/// Its own test opens an epoch whenever it can, and the pool's comes with it.
#[test]
fn an_epoch_is_heard_of_with_the_next_era() {
    let (mut world, mut replica) = (World::new(0.05), Replica::new("r", 0.05, 0));
    let mut start = |replica: &mut Replica| world.dispatch(replica, 1);
    start(&mut replica);
    start(&mut replica);
    replica.member.learn(1, false, &replica.counts);
    assert_eq!((replica.member.knows(), replica.member.epochs()), (1, 1), "nothing older is in flight");
    start(&mut replica);
    replica.member.learn(2, true, &replica.counts);
    assert_eq!((replica.member.knows(), replica.member.epochs(), replica.boot()), (1, 1, "r.0".to_owned()));
    assert_eq!(replica.member.share(&replica.counts).older, 2);
    replica.end_in_order(0);
    replica.end_in_order(0);
    assert_eq!(replica.member.share(&replica.counts).older, 0);
    world.turns_bad(&mut replica, 0, 1, 10.0);
    assert_eq!((replica.member.knows(), replica.member.epochs(), replica.boot()), (2, 2, "r.1".to_owned()));
    // The other boot has seen nothing, and what is in flight is none of it.
    let share = replica.member.share(&replica.counts);
    assert_eq!((share.counts, share.older, share.all), (Counts::default(), 0, [0.0; 12]));
    world.dispatch(&mut replica, 1);
    world.turns_bad(&mut replica, 0, 1, 10.1);
    world.turns_bad(&mut replica, 1, 1, 10.1);
    let share = replica.member.share(&replica.counts);
    assert_eq!(share.counts, Counts { executions: 1, bad_executions: 1, rows: 1, bad_rows: 1 });
    assert!(share.all[11] > 0.0 && share.all.iter().zip(share.young).all(|(all, young)| (all - young).abs() < 1e-12));
    assert_eq!(replica.member.alone().bad(), 2, "the replica's own test goes on");
}
