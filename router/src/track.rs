//! The two versions of a model that may be loaded at once.

use std::fmt;

/// Which of a model's two versions something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// The version that callers rely on.
    Stable,
    /// The version that is being tried.
    Canary,
}

impl Track {
    /// Both tracks.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// The name on every wire: `stable`, `canary`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        assert_eq!(Track::ALL.map(|track| track.to_string()), ["stable", "canary"]);
    }
}
