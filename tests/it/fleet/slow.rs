//! A store that is far away: each answer takes its time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use perch_testkit::Postgres;
use serde_json::json;

use super::{Fleet, REPLICAS, watch_end};
use crate::rollout_life::{MODEL, Site, policy};

/// Passes everything on, answers later by `delay`. It listens until the process ends.
fn far_away(store: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(store).expect("the store");
            let (to, back) = (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
            thread::spawn(move || pass(client, to, Duration::ZERO));
            thread::spawn(move || pass(server, back, delay));
        }
    });
    address
}

/// One direction, until either end is gone.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        thread::sleep(delay);
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

/// Slower than a tick: replicas report less often, and still at the same ticks.
#[test]
fn a_store_that_is_far_away_serves_as_well() {
    let url = Postgres::shared().schema();
    let (head, rest) = url.split_once('@').expect("a user");
    let (store, rest) = rest.split_once('/').expect("a database");
    let proxy = far_away(store.parse().expect("an address"), Duration::from_millis(40));
    let fleet = Fleet::start(
        Site::on_store(format!("{head}@{proxy}/{rest}"), &policy("[{setWeight: 50}, {pause: {}}]")),
        REPLICAS,
    );
    let load = fleet.load(120);
    fleet.site.models.set_alias(MODEL, "canary", 3);
    fleet.wait_all("50 % everywhere", |view| view["weight"] == json!(50.0));
    // More than any of them has seen alone, and more again: the pool goes on.
    for least in [100, 250] {
        fleet.wait_all("what all have counted", |view| {
            let rows = view["fleet"]["replicas"].as_array().expect("rows");
            let own = rows.iter().filter_map(|row| row["metrics"][0]["n"].as_u64()).max();
            let n = view["metrics"][0]["n"].as_u64();
            n > Some(least) && own.is_some_and(|own| n > Some(own + own / 2))
        });
    }
    let admins = fleet.admins();
    load.poison(2);
    watch_end(&admins).assert_within(Duration::from_secs(2));
    fleet.wait_all("demoted", |view| view["state"] == "demoted" && view["store"]["state"] == "ready");
    load.end();
}
