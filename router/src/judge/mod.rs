//! Judgement of a canary: from what was observed to a [`Verdict`].
//!
//! [`Absolute`] asks whether more than a limit of a canary's rows go badly, [`Relative`] whether more do than on stable,
//! [`Gate`] whether it was *shown* that fewer than the limit do, and [`Threshold`] compares a share in a window with
//! the limit, as most tools do. The first three are tests by betting: each is the wealth of a player who bets against
//! "the canary is good" (the gate: "is bad") and who, if that is true, is not expected to win whatever he does, so that
//! his wealth ever reaching `1 / alpha` has probability at most alpha (Ville's inequality): however often one looks,
//! and in whatever order executions end. See Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
//! betting" (JRSS B, 2024); Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid
//! inference" (Statistical Science, 2023).
//!
//! Times are seconds since a moment of the caller's choice, always the same one.

mod absolute;
mod chain;
pub(crate) mod debits;
mod gate;
mod ledger;
mod limit;
pub(crate) mod mixture;
mod relative;
mod shard;
mod threshold;
mod verdict;

pub use absolute::{Absolute, Execution};
pub use chain::{Chain, Sums, Ticket};
pub use debits::{Class, Debits};
pub use gate::Gate;
pub use ledger::{Ledger, Page, Reader};
pub use limit::{BadLimit, Limit, latency_limit};
pub use relative::{BadRatio, Relative};
pub use shard::{Shard, Shared};
pub use threshold::Threshold;
pub use verdict::{Verdict, threshold};

/// Rows of a batch beyond this many add no weight: batches of 64 say no more about a canary than batches of 32, and one
/// huge batch would make all others weigh nothing.
pub const MOST_ROWS: u32 = 32;
