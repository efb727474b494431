//! `smokeTests`: requests that a version has to answer well before it gets any from callers.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, value::MapAccessDeserializer},
    ser::SerializeMap,
};

/// Which requests: written `true`, `false` or `{file: PATH}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SmokeTests {
    /// None besides the input example that warming up runs.
    #[default]
    Off,
    /// Those in the version's own folder, where it has any.
    Own,
    /// Those in this file, JSON lines. Relative to where the policy is written.
    File(String),
}

impl SmokeTests {
    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

impl Serialize for SmokeTests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Own => serializer.serialize_bool(true),
            Self::File(path) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("file", path)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for SmokeTests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    file: String,
}

impl<'de> de::Visitor<'de> for Visitor {
    type Value = SmokeTests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or {file: PATH}")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<SmokeTests, E> {
        Ok(if on { SmokeTests::Own } else { SmokeTests::Off })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<SmokeTests, A::Error> {
        let Named { file } = Named::deserialize(MapAccessDeserializer::new(map))?;
        Ok(SmokeTests::File(file))
    }
}
