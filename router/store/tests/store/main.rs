//! Stores: what each of them does, and what only one of them can go through.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

mod cluster;
mod fleet;
mod kill;
mod postgres;
mod sqlite;
mod suite;
mod tls;
