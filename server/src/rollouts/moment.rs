//! Moments: unix seconds inside, RFC 3339 on every wire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serializer, de};

/// Unix seconds, by the system's clock.
#[must_use]
pub fn now() -> f64 {
    seconds(SystemTime::now())
}

/// A moment as people and programs write it, such as `2026-11-21T10:00:00.000Z`.
#[must_use]
pub fn text(at: f64) -> String {
    // Beyond the year 9999 nothing can be written, and nothing happens.
    const LAST: f64 = 253_402_300_799.0;
    let since = Duration::try_from_secs_f64(at.clamp(0.0, LAST)).unwrap_or_default();
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// For serde: `#[serde(with = "moment")]`.
pub fn serialize<S: Serializer>(at: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// For serde: the way back.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map(seconds).map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_to_the_millisecond() {
        assert_eq!(text(1_795_255_200.25), "2026-11-21T10:00:00.250Z");
        assert_eq!(text(0.0), "1970-01-01T00:00:00.000Z");
        for strange in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(text(strange).ends_with('Z'), "{strange}");
        }
    }
}
