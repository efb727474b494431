//! Whole models, in folders as they are published.

mod fixtures;
mod plain;
mod published;
mod refused;
mod running;
mod tokenizing;
