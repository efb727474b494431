//! The id of a request: the client's, its trace's, or a new one.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, in and out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longer ids than this are not the client's to impose on our logs.
const LONGEST: usize = 128;

/// The id to use: `x-request-id` when it is short and visible ASCII, else the trace id of `traceparent`, else a random
/// one of 128 bits in hex.
#[must_use]
pub fn of(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(X_REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= LONGEST && id.as_bytes().iter().all(u8::is_ascii_graphic));
    given.cloned().or_else(|| trace_id(headers)).unwrap_or_else(random)
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; an id of zeros means none.
fn trace_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = parent.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let valid = version.len() == 2 && id.len() == 32 && hex(version) && hex(id) && id.bytes().any(|byte| byte != b'0');
    valid.then(|| HeaderValue::from_str(id).ok()).flatten()
}

fn random() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bits = fastrand::u128(..);
    let text: [u8; 32] = std::array::from_fn(|_| {
        let digit = HEX[(bits & 0xf) as usize];
        bits >>= 4;
        digit
    });
    // Hex digits are always a valid header.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(headers: &[(HeaderName, &str)]) -> String {
        let map = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("valid")));
        of(&map.collect()).to_str().expect("ascii").to_owned()
    }

    #[test]
    fn the_clients_id_wins_then_its_trace() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(&[(X_REQUEST_ID, "abc-1"), (TRACEPARENT, parent)]), "abc-1");
        assert_eq!(id(&[(TRACEPARENT, parent)]), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_is_no_id_is_replaced() {
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for headers in [vec![], vec![(X_REQUEST_ID, "a b")], vec![(TRACEPARENT, zeros)], vec![(TRACEPARENT, "00-xyz")]]
        {
            let id = id(&headers);
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        assert_eq!(id(&[(X_REQUEST_ID, &"x".repeat(129))]).len(), 32);
        assert_ne!(id(&[]), id(&[]));
    }
}
