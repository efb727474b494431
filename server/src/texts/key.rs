//! The key that a rollout divides requests by, where it stands in the body beside the texts.

use bytes::Bytes;
use perch_models::json;

use crate::error::{ApiError, Kind};
use crate::lifecycle::Lifecycle;

/// Bodies above this are looked through on another thread, up to three times each.
const LARGE_BODY: usize = 96 << 10;

/// The field beside the texts, as `OpenAI`'s `user` stands there, or where /predict has it.
///
/// # Errors
/// When looking for it panicked.
pub async fn find(lifecycle: &Lifecycle, body: &Bytes, field: &str) -> Result<Option<String>, ApiError> {
    if body.len() <= LARGE_BODY {
        return Ok(find_in(body, field));
    }
    let (body, field) = (body.clone(), field.to_owned());
    let failed = |_| ApiError::new(Kind::Internal, "looking for the key of a rollout failed");
    lifecycle.spawn_blocking(move || find_in(&body, &field)).await.map_err(failed)
}

fn find_in(body: &[u8], field: &str) -> Option<String> {
    let parameters = || json::field(body, 0..body.len(), "parameters");
    let parameter = || parameters().and_then(|own| json::field(own.as_bytes(), 0..own.len(), field));
    json::field(body, 0..body.len(), field).or_else(parameter)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A body of so many bytes of text, and then the rest.
    fn body(text: usize, rest: &str) -> Bytes {
        format!("{{\"inputs\": \"{}\"{rest}}}", "a".repeat(text)).into()
    }

    #[tokio::test]
    async fn a_key_is_found_in_small_bodies_and_large_ones() {
        let lifecycle = Lifecycle::default();
        for text in [1, LARGE_BODY] {
            for (rest, key) in [
                (", \"user\": \"u-1\"", Some("u-1")),
                (", \"parameters\": {\"user\": 7}", Some("7")),
                (", \"parameters\": {\"user\": \"p\"}, \"user\": \"u\"", Some("u")),
                ("", None),
            ] {
                let found = find(&lifecycle, &body(text, rest), "user").await;
                assert_eq!(found, Ok(key.map(str::to_owned)), "{rest} after {text}");
            }
        }
    }

    /// A future that is not ready at once has left the reactor.
    #[tokio::test]
    async fn only_large_bodies_leave_the_reactor() {
        let lifecycle = Lifecycle::default();
        for (text, here) in [(1, true), (32 << 20, false)] {
            let body = body(text, ", \"user\": \"u\"");
            let mut finding = pin!(find(&lifecycle, &body, "user"));
            let first = finding.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(first.is_ready(), here, "after {text} bytes");
            if matches!(first, Poll::Pending) {
                assert_eq!(finding.await, Ok(Some("u".to_owned())));
            }
        }
    }
}
