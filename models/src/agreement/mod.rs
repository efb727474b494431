//! Whether a device gives the answers of the CPU: asked before a version is served anywhere else, or in less than fp32.
//!
//! A graph may be right in fp32 and silently wrong elsewhere. An attention mask of -3.4e38, the smallest float, is one of
//! many reasons: it has no place in bf16. So the same inputs run on the session that is going to serve, and on a plain
//! one on the CPU in fp32 which is closed afterwards; a version whose outputs differ by more than the [`Limits`] is
//! refused with the figures. `case` makes the inputs, `compare` says what is compared, `check` runs both.

mod case;
mod check;
mod compare;
mod figures;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use check::Check;
pub use compare::{Lengths, compare};
pub use figures::{Figures, Limits};

use crate::device::{Device, Precision};

/// A session answers otherwise than the CPU.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("refused, device {device} with precision {precision} does not answer as the CPU in fp32 does: {found}. {}", hint(*.precision))]
pub struct Disagreement {
    /// Where the session computes.
    pub device: Device,
    /// In which precision.
    pub precision: Precision,
    /// On which input, in which output, and by how much.
    pub found: String,
}

/// What to look at first.
const fn hint(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp32 => {
            "Serve it with device cpu, or allow for more under agreement if these answers are good enough"
        }
        _ => {
            "An attention mask of the smallest float (-3.4e38) goes wrong below fp32: export the graph with -1e4 in its \
             place, serve it with precision fp32, or allow for more under agreement if these answers are good enough"
        }
    }
}
