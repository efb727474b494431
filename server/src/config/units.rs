//! Values with a unit: durations such as `250ms`, sizes such as `32MiB`.

use super::{
    setting::Setting,
    tree::{Kind, Scalar},
};
use std::time::Duration;

/// The longest duration: a year. Far below where adding one to a clock's time overflows.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Longest first, so that `show` finds the unit that divides evenly.
const TIMES: [(&str, u64); 5] = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes(pub usize);

impl Setting for Duration {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let expected = || scalar.expected("a duration such as 10s, 250ms, 1m or 1h");
        if scalar.kind == Kind::Bool {
            return Err(expected());
        }
        let (number, unit) = split(&scalar.text).ok_or_else(expected)?;
        if unit.is_empty() {
            return Err(format!("{} (a number needs its unit)", expected()));
        }
        let factor = factor(&TIMES, unit, str::eq).ok_or_else(expected)?;
        number
            .checked_mul(factor)
            .map(Self::from_micros)
            .filter(|duration| *duration <= MAX_DURATION)
            .ok_or_else(|| scalar.expected("at most 8760h"))
    }

    fn show(&self) -> Scalar {
        let micros = self.as_micros();
        let (unit, factor) = TIMES
            .into_iter()
            .find(|(_, factor)| micros > 0 && micros.is_multiple_of(u128::from(*factor)))
            .unwrap_or(("s", 1_000_000));
        Scalar::text(format!("{}{unit}", micros / u128::from(factor)))
    }
}

impl Setting for Bytes {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let expected = || scalar.expected("a size such as 32MiB");
        if scalar.kind == Kind::Bool {
            return Err(expected());
        }
        let (number, unit) = split(&scalar.text).ok_or_else(expected)?;
        let factor =
            if unit.is_empty() { 1 } else { factor(&SIZES, unit, str::eq_ignore_ascii_case).ok_or_else(expected)? };
        number
            .checked_mul(factor)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| scalar.expected("a size that this machine can count"))
    }

    fn show(&self) -> Scalar {
        let bytes = self.0 as u64;
        // Binary units only: 32MB as 32000000B says more than it should.
        let unit = SIZES.into_iter().take(4).find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
        match unit {
            Some((unit, factor)) => Scalar::text(format!("{}{unit}", bytes / factor)),
            None => Scalar::number(bytes),
        }
    }
}

/// `32 MiB` -> (32, "MiB")
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn factor(units: &[(&str, u64)], unit: &str, same: fn(&str, &str) -> bool) -> Option<u64> {
    units.iter().find(|(name, _)| same(name, unit)).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn duration(text: &str) -> Result<Duration, String> {
        Duration::parse(&Scalar::text(text))
    }

    fn bytes(text: &str) -> Result<usize, String> {
        Bytes::parse(&Scalar::loose(text)).map(|b| b.0)
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("10s", 10_000),
            ("250ms", 250),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0s", 0),
            (" 2 s ", 2_000),
            ("3000us", 3),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "1x", "1S", "１s"] {
            let message = duration(text).unwrap_err();
            assert!(message.starts_with("expected a duration"), "{message}");
        }
        assert_eq!(
            Duration::parse(&Scalar::number(10)),
            Err("expected a duration such as 10s, 250ms, 1m or 1h, got 10 (a number needs its unit)".to_owned())
        );
        for text in ["8761h", "18446744073709551615h"] {
            let message = duration(text).unwrap_err();
            assert!(message.starts_with("expected at most 8760h, got"), "{message}");
        }
        assert!(duration("8760h").is_ok());
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("32MiB", 32 << 20),
            ("64KiB", 64 << 10),
            ("64 kib", 64 << 10),
            ("1GB", 1_000_000_000),
            ("1kB", 1000),
            ("17", 17),
            ("17B", 17),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "lots", "1.5MiB", "-1", "1XiB"] {
            let message = bytes(text).unwrap_err();
            assert!(message.starts_with("expected a size such as 32MiB, got"), "{message}");
        }
        assert!(bytes("18446744073709551615TiB").unwrap_err().contains("count"));
        assert!(Bytes::parse(&Scalar::new("true", Kind::Bool)).is_err());
    }

    #[test]
    fn shown_as_people_write_them() {
        for (ms, text) in [(0, "0s"), (1_500, "1500ms"), (75_000, "75s"), (60_000, "1m")] {
            assert_eq!(Duration::from_millis(ms).show().text, text);
        }
        assert_eq!(Bytes(32 << 20).show().text, "32MiB");
        assert_eq!(Bytes(1_000_000_000).show(), Scalar::number(1_000_000_000));
        assert_eq!(Bytes(0).show(), Scalar::number(0));
    }

    proptest! {
        #[test]
        fn shown_and_read_again(micros in 0_u64..31_536_000_000_000, size in 0_usize..1 << 50) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(Duration::parse(&duration.show()), Ok(duration));
            prop_assert_eq!(Bytes::parse(&Bytes(size).show()), Ok(Bytes(size)));
        }

        #[test]
        fn any_text_is_an_answer(text in ".{0,20}") {
            let _ = duration(&text);
            let _ = bytes(&text);
        }
    }
}
