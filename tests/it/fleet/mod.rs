//! Several replicas of the real binary over one PostgreSQL and one registry.

mod clocks;
mod kills;
mod load;
mod pace;
mod ready;
mod slow;
mod store;
mod together;

use std::sync::Arc;
use std::time::{Duration, Instant};

use perch_testkit::{Metronome, PerchProcess, Postgres, wait};
use serde_json::Value;

use self::load::{Addresses, Load};
use crate::rollout_life::{Admin, Site};

const REPLICAS: usize = 3;

/// Replicas of one site.
struct Fleet {
    site: Site,
    replicas: Vec<Option<PerchProcess>>,
    addresses: Arc<Addresses>,
}

impl Fleet {
    /// Three replicas over a schema of the PostgreSQL that tests share.
    fn of(policy: &str) -> Self {
        Self::start(Site::on_store(Postgres::shared().schema(), policy), REPLICAS)
    }

    fn start(site: Site, count: usize) -> Self {
        let fleet = Self::start_quietly(site, count);
        fleet.wait_seen(count);
        fleet
    }

    /// Those of one replica on a file are none.
    fn start_quietly(site: Site, count: usize) -> Self {
        let mut fleet = Self { site, replicas: Vec::new(), addresses: Arc::default() };
        for place in 0..count {
            fleet.replicas.push(None);
            fleet.revive(place);
        }
        fleet
    }

    /// Starts a replica that is not there.
    fn revive(&mut self, place: usize) {
        self.settle(place, self.site.ready());
    }

    fn settle(&mut self, place: usize, perch: PerchProcess) {
        Admin::of(&perch).wait("a view", |_| true);
        self.addresses.set(place, Some(perch.address()));
        self.replicas[place] = Some(perch);
    }

    /// Ends a replica at once.
    fn kill(&mut self, place: usize) {
        self.addresses.set(place, None);
        self.replicas[place].take().expect("running").kill();
    }

    /// Those that run.
    fn running(&self) -> impl Iterator<Item = &PerchProcess> {
        self.replicas.iter().flatten()
    }

    fn admins(&self) -> Vec<Admin> {
        self.running().map(Admin::of).collect()
    }

    /// Any of those that run.
    fn admin(&self) -> Admin {
        self.admins().into_iter().next().expect("a replica")
    }

    /// Waits until `condition` holds for what each replica shows.
    fn wait_all(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.admins().iter().map(|admin| admin.wait(what, &condition)).collect()
    }

    /// Waits until each sees so many.
    fn wait_seen(&self, count: usize) {
        self.wait_all("replicas", |view| view["fleet"]["seen"] == count);
    }

    /// Steady clients that go from one replica to the next.
    fn load(&self, per_second: u32) -> Load {
        Load::start(&self.addresses, &["curve_forecaster".to_owned()], per_second)
    }
}

/// A moment that something says.
fn seconds(of: &Value, key: &str) -> f64 {
    let text = of[key].as_str().expect("a moment");
    let time = humantime::parse_rfc3339(text).expect("a moment");
    time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// When each replica was first seen at weight zero, and what looking took.
#[derive(Debug)]
struct Ends {
    at: Vec<Instant>,
    /// How long the slowest look took.
    look: Duration,
    /// How late the machine itself was, between the first end and the last.
    late: Duration,
}

impl Ends {
    /// The last followed the first so soon: what it took to see either is not the replicas'.
    fn assert_within(&self, limit: Duration) {
        let (first, last) = (self.at.iter().min().expect("some"), self.at.iter().max().expect("some"));
        assert!(*last - *first < limit + self.late + 2 * self.look, "{:?} apart: {self:?}", *last - *first);
    }
}

/// Looks at all replicas all the time, until none has weight any more.
fn watch_end(admins: &[Admin]) -> Ends {
    let metronome = Metronome::start();
    let watch = |admin: &Admin| {
        let admin = admin.clone();
        std::thread::spawn(move || {
            let mut look = Duration::ZERO;
            let at = wait::until("weight zero", || {
                let asked = Instant::now();
                let view = admin.try_view();
                look = look.max(asked.elapsed());
                view.filter(|view| view["weight"] == 0.0).map(|_| asked)
            });
            (at, look)
        })
    };
    let watchers: Vec<_> = admins.iter().map(watch).collect();
    let (at, looks): (Vec<Instant>, Vec<Duration>) =
        watchers.into_iter().map(|watcher| watcher.join().expect("it ends")).unzip();
    let (first, last) = (*at.iter().min().expect("some"), *at.iter().max().expect("some"));
    Ends { at, look: looks.into_iter().max().unwrap_or_default(), late: metronome.worst(first, last) }
}
