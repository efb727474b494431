//! A PostgreSQL of the test's own.

use perch_store::postgres::Place;

pub use perch_testkit::Postgres as Cluster;

/// The address of a cluster, with more behind it.
pub fn of(cluster: &Cluster, more: &str) -> Place {
    format!("{}{more}", cluster.url()).parse().unwrap()
}
