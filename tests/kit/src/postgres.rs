//! A real PostgreSQL, by `scripts/postgres`. It ends with the process that started it, however it ends.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::runner::Runner;

/// A cluster with data of its own. Killed when dropped.
pub struct Postgres {
    runner: Runner,
    url: String,
    ca: Option<PathBuf>,
    schemas: AtomicU32,
}

impl Postgres {
    /// The one that all tests of this process share, started by the first one: nobody stops it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::own)
    }

    /// One of the test's own, to be stopped and started again.
    pub fn own() -> Self {
        Self::run(&["run"])
    }

    /// One behind a `PgBouncer` that gives each transaction another session.
    pub fn behind_a_pooler() -> Self {
        Self::run(&["run", "--pooler"])
    }

    /// One that takes encrypted connections only, on 127.0.0.1, for which it has a certificate, and on 127.0.0.2, for
    /// which it has none.
    pub fn with_tls() -> Self {
        Self::run(&["run", "--tls"])
    }

    fn run(arguments: &[&str]) -> Self {
        let (runner, described) = Runner::start("postgres", arguments);
        let url = described["url"].as_str().expect("part of what scripts/postgres prints").to_owned();
        let ca = described["ca"].as_str().map(PathBuf::from);
        Self { runner, url, ca, schemas: AtomicU32::new(0) }
    }

    /// The address of its database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file of the authority's certificate, of one with TLS.
    pub fn ca(&self) -> &Path {
        self.ca.as_deref().expect("started with TLS")
    }

    /// The address of a schema that nobody has used before.
    pub fn schema(&self) -> String {
        format!("{}?schema=fleet_{}", self.url, self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    /// `stop`, `kill`, `start`, `freeze` or `thaw`.
    pub fn command(&self, command: &str) {
        self.runner.command(command);
    }
}
