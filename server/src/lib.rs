//! HTTP, configuration and wiring of perch. Start at [`app`]; one request's way is described in ARCHITECTURE.md.

pub mod admin;
pub mod app;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod idle;
pub mod layers;
pub mod lifecycle;
pub mod listener;
pub mod metrics;
pub mod reactor;
pub mod reconcile;
pub mod registries;
pub mod rollouts;
pub mod serving;
pub mod smoke;
pub mod split;
pub mod telemetry;
pub mod texts;
pub mod writeback;
