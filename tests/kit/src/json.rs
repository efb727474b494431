//! JSON as perch writes it: with the bare tokens NaN, Infinity and -Infinity, which Python's json reads too.

use serde_json::Value;

/// Parses `text`; the tokens for what is not finite become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
///
/// # Errors
/// When it is no JSON apart from these tokens.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    const TOKENS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut out = Vec::with_capacity(text.len());
    let mut in_string = false;
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let mut taken = 1;
        if in_string {
            match byte {
                b'\\' => taken = rest.len().min(2),
                b'"' => in_string = false,
                _ => {}
            }
        } else if byte == b'"' {
            in_string = true;
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(token.as_bytes())) {
            out.push(b'"');
            out.extend_from_slice(token.as_bytes());
            out.push(b'"');
            rest = &rest[token.len()..];
            continue;
        }
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    serde_json::from_slice(&out)
}

/// The number at `value`, where the tokens and null are numbers too.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NAN),
        Value::String(token) => match token.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

/// True when both are the same within `tolerance`: numbers at any depth, NaN equal to NaN, everything else exactly.
pub fn close(one: &Value, two: &Value, tolerance: f64) -> bool {
    match (one, two) {
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| close(one, two, tolerance))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one.iter().all(|(key, one)| two.get(key).is_some_and(|two| close(one, two, tolerance)))
        }
        _ => match (number(one), number(two)) {
            (Some(one), Some(two)) => {
                one.to_bits() == two.to_bits() || (one.is_nan() && two.is_nan()) || (one - two).abs() <= tolerance
            }
            _ => one == two,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_read_outside_of_strings_only() {
        let text = br#"{"a": [NaN, -Infinity, Infinity, 1], "b\"": "NaN \" NaN"}"#;
        let expected = json!({"a": ["NaN", "-Infinity", "Infinity", 1], "b\"": "NaN \" NaN"});
        assert_eq!(parse(text).ok(), Some(expected));
        assert!(parse(b"{\"a\": Nan}").is_err());
        assert!(parse(b"\"\\").is_err());
    }

    #[test]
    fn closeness_is_numeric_and_exact_elsewhere() {
        assert!(close(&json!([1.0, null]), &json!([1.000_000_1, "NaN"]), 1e-6));
        assert!(!close(&json!([1.0]), &json!([1.1]), 1e-6));
        assert!(!close(&json!([1.0]), &json!([1.0, 1.0]), 1e-6));
        assert!(!close(&json!({"a": "x"}), &json!({"a": "y"}), 1e-6));
        assert!(!close(&json!(1.0), &json!("NaN"), 1e-6));
    }
}
