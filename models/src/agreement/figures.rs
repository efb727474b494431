//! How near two outputs are, and how near they have to be.

use std::fmt;

/// What computing a figure adds to it: equal rows need not have a cosine of 1.
const ROUNDING: f64 = 1e-12;

/// How near the outputs of two sessions have to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The smallest cosine of two rows.
    pub cosine: f64,
    /// The largest relative error.
    pub relative: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cosine: 0.999, relative: 0.01 }
    }
}

impl Limits {
    /// Whether `figures` keep them. Figures that are no numbers do not.
    #[must_use]
    pub fn allow(self, figures: Figures) -> bool {
        figures.cosine >= self.cosine - ROUNDING && figures.relative <= self.relative + ROUNDING
    }
}

/// How near two outputs are: the worst of their rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The smallest cosine, NaN where one side has numbers and the other has none.
    pub cosine: f64,
    /// The largest relative error, NaN as above.
    pub relative: f64,
}

impl Figures {
    /// No difference.
    pub const SAME: Self = Self { cosine: 1.0, relative: 0.0 };
    /// A NaN or an infinity on one side only.
    pub const BROKEN: Self = Self { cosine: f64::NAN, relative: f64::NAN };

    /// The worse of each.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            cosine: if other.cosine.is_nan() || other.cosine < self.cosine { other.cosine } else { self.cosine },
            relative: if other.relative.is_nan() || other.relative > self.relative {
                other.relative
            } else {
                self.relative
            },
        }
    }

    /// Both figures with what was expected.
    pub(super) fn against(self, limits: Limits) -> impl fmt::Display {
        let cosine = format!("cosine {:.6}, expected at least {}", self.cosine, limits.cosine);
        format!("{cosine}; relative error {:.2e}, expected at most {}", self.relative, limits.relative)
    }
}
