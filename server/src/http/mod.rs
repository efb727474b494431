//! Handlers, one file a protocol.

pub mod body;
pub mod failure;
pub mod health;
pub mod metrics;
pub mod predict;
pub mod response;
pub mod texts;
pub mod timing;
