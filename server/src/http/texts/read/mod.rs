//! Requests for texts, each protocol's into what is run. Fields that are not known are left out, as TEI and `OpenAI` do;
//! what is wrong with the others is said with the place where it stands.

mod classify;
mod embed;
mod inputs;
mod openai;
mod options;
mod rerank;
mod root;
mod similarity;
#[cfg(test)]
mod tests;
mod tokens;
mod value;

pub use classify::{Classify, classify, looks_like_texts};
pub use embed::{embed, embed_all};
pub use openai::{Embeddings, embeddings};
pub use rerank::{Rerank, rerank};
pub use root::{Form, Root, root};
pub use similarity::similarity;
pub use tokens::{Decode, Tokenize, decode, tokenize};

use crate::error::ApiError;

/// What reading gives, or what is wrong with the request.
pub type Result<T> = std::result::Result<T, ApiError>;

/// The most texts of one request: as many as `OpenAI` takes.
pub const MOST_INPUTS: usize = 2048;
