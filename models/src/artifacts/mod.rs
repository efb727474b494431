//! Artifacts from elsewhere: read from an object store or through MLflow's proxy, verified, and kept in a local cache.
//!
//! A version's files go `remote` → `download` (resumed after a cut, hashed as they come) → `staging` → one rename into
//! the `cache`, whose `manifest` names the SHA-256 of every file. Whatever is loaded from there is compared with the
//! manifest first.

pub mod cache;
mod credentials;
pub mod download;
mod locks;
pub mod manifest;
pub mod objects;
pub mod remote;
pub mod staging;
pub mod uri;
