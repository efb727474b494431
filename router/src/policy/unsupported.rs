//! Keys that have a meaning and no implementation.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

/// Whatever was written under a key that is not supported yet: known, so that its message can say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
