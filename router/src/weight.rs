//! How much of the traffic a canary is given.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The canary's share of requests: ten-thousandths inside, percent with at most two decimals on every wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u16);

/// A weight that is none. The text says what is wanted and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadWeight(String);

impl Weight {
    /// Nothing goes to the canary.
    pub const ZERO: Self = Self(0);
    /// Everything goes to the canary.
    pub const FULL: Self = Self(10_000);

    /// From ten-thousandths, 0 to 10,000.
    pub fn from_ten_thousandths(count: u16) -> Result<Self, BadWeight> {
        if count <= Self::FULL.0 { Ok(Self(count)) } else { Err(BadWeight(format!("{count}/10000"))) }
    }

    /// From a number of percent, such as 12.5. Digits after the second decimal are an error, not rounded.
    pub fn from_percent(percent: f64) -> Result<Self, BadWeight> {
        // Rust prints the shortest decimal that is this number: what was written is what is judged.
        percent.to_string().parse().map_err(|_| BadWeight(percent.to_string()))
    }

    /// Ten-thousandths, 0 to 10,000.
    #[must_use]
    pub const fn ten_thousandths(self) -> u16 {
        self.0
    }

    /// Percent, 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Share, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether a point of the 64-bit circle lies in this weight's part: `point < weight * 2^64`, exactly. Always at
    /// 100 %, never at 0 %, and a point once inside stays inside while the weight grows.
    #[must_use]
    pub const fn covers(self, point: u64) -> bool {
        // `as`: From is not const. Neither side overflows: 2^64 * 10^4 < 2^78.
        (point as u128) * 10_000 < (self.0 as u128) << 64
    }
}

impl FromStr for Weight {
    type Err = BadWeight;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadWeight(format!("{text:?}"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) if digits(decimals) && decimals.len() <= 2 => (whole, decimals),
            None => (text, ""),
            Some(_) => return Err(bad()),
        };
        if !digits(whole) || whole.len() > 3 {
            return Err(bad());
        }
        let hundredths = format!("{whole}{decimals:0<2}").parse::<u32>().map_err(|_| bad())?;
        u16::try_from(hundredths).ok().and_then(|count| Self::from_ten_thousandths(count).ok()).ok_or_else(bad)
    }
}

impl fmt::Display for Weight {
    /// Percent with as few decimals as it needs: `10`, `12.5`, `33.33`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.percent())
    }
}

impl fmt::Display for BadWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a weight in percent from 0 to 100 with at most two decimals, got {}", self.0)
    }
}

impl std::error::Error for BadWeight {}

impl Serialize for Weight {
    /// Percent, as a number: a whole one where it is whole.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(100) {
            serializer.serialize_u16(self.0 / 100)
        } else {
            serializer.serialize_f64(self.percent())
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        Self::from_percent(percent).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_read_and_written() {
        for (text, count) in [("0", 0), ("0.01", 1), ("1.5", 150), ("10", 1000), ("33.33", 3333), ("100", 10_000)] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight.ten_thousandths(), weight.to_string().as_str()), (count, text));
            assert_eq!(Weight::from_percent(text.parse().unwrap()), Ok(weight));
            let json = serde_json::to_string(&weight).unwrap();
            assert_eq!((json.as_str(), serde_json::from_str::<Weight>(&json).unwrap()), (text, weight));
        }
        assert_eq!("100.00".parse(), Ok(Weight::FULL));
    }

    #[test]
    fn every_weight_survives_the_wire() {
        for count in 0..=10_000 {
            let weight = Weight::from_ten_thousandths(count).unwrap();
            assert_eq!(weight.to_string().parse(), Ok(weight));
            assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
        }
    }

    #[test]
    fn bad_weights_are_errors() {
        for text in ["", "-1", "+1", ".5", "5.", "1e1", "100.01", "101", "33.333", "ten", "1 0", "10%", "٣"] {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
        for percent in [f64::NAN, f64::INFINITY, -0.5, 100.01, 0.001] {
            assert!(Weight::from_percent(percent).is_err(), "{percent}");
        }
        assert!(Weight::from_ten_thousandths(10_001).is_err());
        assert_eq!(
            "101".parse::<Weight>().unwrap_err().to_string(),
            "expected a weight in percent from 0 to 100 with at most two decimals, got \"101\""
        );
    }

    #[test]
    fn covers_is_exact() {
        assert!(!Weight::ZERO.covers(0));
        assert!(Weight::FULL.covers(u64::MAX));
        let half = Weight::from_ten_thousandths(5000).unwrap();
        assert!(half.covers((1 << 63) - 1) && !half.covers(1 << 63));
    }
}
