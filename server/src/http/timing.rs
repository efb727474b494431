//! `server-timing`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// The header's name.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// `queue;dur=0.012, execute;dur=0.034`, in milliseconds.
#[must_use]
pub fn server_timing<const N: usize>(parts: [(&'static str, Duration); N]) -> HeaderValue {
    let mut text = Vec::with_capacity(24 * N);
    for (i, (name, time)) in parts.into_iter().enumerate() {
        if i > 0 {
            text.extend_from_slice(b", ");
        }
        let micros = time.as_micros();
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b";dur=");
        // Whole microseconds as a decimal fraction: formatting floats showed in the profile.
        text.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
        let digit = |place: u128| b'0' + u8::try_from(micros / place % 10).unwrap_or(0);
        text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_is_in_milliseconds() {
        let time = Duration::from_micros;
        let timing = server_timing([("queue", time(7)), ("execute", time(12_045))]);
        assert_eq!(timing, "queue;dur=0.007, execute;dur=12.045");
    }
}
