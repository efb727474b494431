//! Numbers as people read them: short, and never rounded to nothing.

/// Percent, with two decimals above 1 % and two digits below.
pub(in crate::cli::rollout) fn percent(value: f64) -> String {
    let size = value.abs();
    let number = if size != 0.0 && size < 1.0 { digits(value, 2) } else { trimmed(value, 2) };
    format!("{number} %")
}

/// A share as percent.
pub(super) fn share(value: f64) -> String {
    percent(value * 100.0)
}

/// A multiple of stable's.
pub(super) fn ratio(value: f64) -> String {
    format!("{}x", digits(value, 3))
}

/// Executions, requests.
pub(in crate::cli::rollout) fn count(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let rough = |unit: f64, sign: char| format!("{}{sign}", digits(value as f64 / unit, 3));
    match value {
        0..1_000 => value.to_string(),
        1_000..100_000 => format!("{},{:03}", value / 1_000, value % 1_000),
        100_000..1_000_000 => rough(1e3, 'k'),
        1_000_000..1_000_000_000 => rough(1e6, 'M'),
        _ => rough(1e9, 'G'),
    }
}

/// A count that came as a number of JSON.
pub(super) fn rounded(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and a count it is")]
    let whole = value.max(0.0).round() as u64;
    count(whole)
}

/// A rate by second.
pub(super) fn rate(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { rounded(value) }
}

/// A latency in milliseconds.
pub(super) fn millis(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        format!("{} s", digits(value / 1_000.0, 3))
    } else {
        format!("{} ms", digits(value, 3))
    }
}

/// Logarithms of evidence, which may be below zero; counts where they are whole and large.
pub(in crate::cli::rollout) fn evidence(value: f64, counts: bool) -> String {
    if counts {
        rounded(value)
    } else if value.abs() < 1_000.0 {
        // Not "-0.0".
        format!("{:.1}", (value * 10.0).round() / 10.0 + 0.0)
    } else {
        digits(value, 3)
    }
}

/// A time span: two units at most.
pub(in crate::cli::rollout) fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and a span it is")]
    let whole = seconds.max(0.0).round() as u64;
    let two = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        _ => format!("{large} {one} {small} {other}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => two(whole / 60, "m", whole % 60, "s"),
        3_600..86_400 => two(whole / 3_600, "h", whole % 3_600 / 60, "m"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// As many digits as tell something; exponents where a number is too large or too small for that.
fn digits(value: f64, significant: i32) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    #[expect(clippy::cast_possible_truncation, reason = "from -4 to 5")]
    let magnitude = size.log10().floor() as i32;
    trimmed(value, usize::try_from(significant - 1 - magnitude).unwrap_or_default())
}

/// So many decimals, without those that are zero.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_keep_what_matters() {
        for (value, text) in [
            (0.0, "0 %"),
            (0.000_012, "1.2e-5 %"),
            (0.012, "0.012 %"),
            (0.4, "0.4 %"),
            (1.0, "1 %"),
            (9.97, "9.97 %"),
            (99.99, "99.99 %"),
            (100.0, "100 %"),
            (12.345, "12.35 %"),
        ] {
            assert_eq!(percent(value), text);
        }
        assert_eq!(share(0.000_12), "0.012 %");
        assert_eq!(share(0.01), "1 %");
        assert_eq!(share(-0.000_000_000_1), "-1e-8 %");
    }

    #[test]
    fn counts_are_short() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_234, "1,234"),
            (99_999, "99,999"),
            (123_456, "123k"),
            (1_000_000, "1M"),
            (2_345_678_901, "2.35G"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!((rounded(-3.0), rounded(19.6)), ("0".into(), "20".into()));
    }

    #[test]
    fn other_numbers() {
        assert_eq!(
            [millis(0.8), millis(123.456), millis(1_234.0), millis(1e6)],
            ["0.8 ms", "123 ms", "1.23 s", "1000 s"]
        );
        assert_eq!([ratio(1.0), ratio(1.234), ratio(1e6), ratio(0.000_01)], ["1x", "1.23x", "1e6x", "1e-5x"]);
        assert_eq!([evidence(-1.23, false), evidence(7.6, false), evidence(-0.01, false)], ["-1.2", "7.6", "0.0"]);
        assert_eq!([evidence(12.0, true), evidence(1e6, false)], ["12", "1e6"]);
        assert_eq!([rate(4.96), rate(1_234.0)], ["5.0", "1,234"]);
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (-1.0, "0 s"),
            (12.3, "12 s"),
            (60.0, "1 m"),
            (287.7, "4 m 48 s"),
            (3_725.0, "1 h 2 m"),
            (86_400.0, "1 d"),
            (100_000.0, "1 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
