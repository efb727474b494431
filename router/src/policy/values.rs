//! Values with a unit: durations such as `5m`, quantiles such as `p95`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest first, so that the unit is found that divides evenly. Microseconds each.
const UNITS: [(&str, u64); 5] = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
/// A year, in microseconds: far below where adding it to a clock's time overflows.
const LONGEST: u64 = 365 * 24 * 3_600_000_000;

/// A duration, written as a whole number and a unit: `250ms`, `5m`, `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// Seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Minutes.
    #[must_use]
    pub const fn mins(minutes: u64) -> Self {
        Self::secs(60 * minutes)
    }

    /// As seconds, the judge's unit.
    #[must_use]
    pub const fn as_secs(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a duration such as 10s, 250ms, 5m or 24h, got {text:?}");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        if unit.is_empty() {
            return Err(expected() + " (a number needs its unit)");
        }
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        let micros = number.checked_mul(factor).filter(|micros| *micros <= LONGEST);
        micros.map(|micros| Self(Duration::from_micros(micros))).ok_or(format!("expected at most 8760h, got {text:?}"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let even = |factor: u64| micros > 0 && micros.is_multiple_of(u128::from(factor));
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| even(*factor)).unwrap_or(("s", 1_000_000));
        write!(f, "{}{unit}", micros / u128::from(factor))
    }
}

/// A quantile of latency, written `p50`, `p95`, `p99.9`: above 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Quantile(f64);

impl Quantile {
    /// 0.95.
    pub const P95: Self = Self(0.95);

    /// Above 0 and below 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }

    /// The share of requests that are slower, if the quantile holds: 0.05 for p95.
    #[must_use]
    pub fn beyond(self) -> f64 {
        // Of percent, not of 1 - 0.95, which is 0.050000000000000044.
        ((1.0 - self.0) * 1e6).round() / 1e6
    }
}

impl FromStr for Quantile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_prefix('p').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        let value = percent.and_then(|percent| percent.parse::<f64>().ok()).map(|percent| percent / 100.0);
        value
            .filter(|value| *value > 0.0 && *value < 1.0)
            .map(Self)
            .ok_or_else(|| format!("expected a quantile such as p50, p95 or p99.9, got {text:?}"))
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", (self.0 * 1e6).round() / 1e4)
    }
}

/// What a metric is held to: a share for rates, a duration for latencies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Max {
    /// Of rows, 0 to 1.
    Share(f64),
    /// Of one request.
    Time(Span),
}

impl fmt::Display for Max {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

impl<'de> Deserialize<'de> for Max {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaxVisitor)
    }
}

struct MaxVisitor;

impl de::Visitor<'_> for MaxVisitor {
    type Value = Max;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share such as 0.01 or a duration such as 250ms")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Max, E> {
        Ok(Max::Share(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Max, E> {
        Ok(Max::Share(crate::num::float(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Max, E> {
        let size = crate::num::float(value.unsigned_abs());
        Ok(Max::Share(if value < 0 { -size } else { size }))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Max, E> {
        value.parse().map(Max::Time).map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($name:ident $visitor:ident $expected:literal)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($visitor)
            }
        }

        struct $visitor;

        impl de::Visitor<'_> for $visitor {
            type Value = $name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expected)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                text.parse().map_err(E::custom)
            }
        }
    )*};
}

as_text! {
    Span SpanVisitor "a duration such as 10s, 250ms, 5m or 24h"
    Quantile QuantileVisitor "a quantile such as p50, p95 or p99.9"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for text in ["250ms", "5m", "24h", "90s", "0s", "1500us"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("60s".parse::<Span>().unwrap().to_string(), "1m");
        for bad in ["", "5", "m", "-5m", "5 m", "5d", "1.5s", "9000h", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert!("5".parse::<Span>().unwrap_err().contains("needs its unit"));
    }

    #[test]
    fn quantiles_are_read_and_written() {
        for (text, beyond) in [("p50", 0.5), ("p95", 0.05), ("p99", 0.01), ("p99.9", 0.001)] {
            let quantile: Quantile = text.parse().unwrap();
            assert_eq!((quantile.to_string().as_str(), quantile.beyond().to_bits()), (text, f64::to_bits(beyond)));
        }
        for bad in ["", "95", "p", "p0", "p100", "p-5", "pinf", "p1e1", "P95"] {
            assert!(bad.parse::<Quantile>().is_err(), "{bad}");
        }
    }
}
