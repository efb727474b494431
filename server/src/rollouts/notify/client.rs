//! One request to a receiver, and what its answer means.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, Url, redirect};
use serde_json::Value;

use super::super::outbox::Outcome;

const TIMEOUT: Duration = Duration::from_secs(10);
/// As much of an answer as an error shows, in characters.
const EXCERPT: usize = 200;

pub struct Client(reqwest::Client);

impl Client {
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("perch/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // The address is a secret of its host; and a redirected POST would arrive as a GET.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| format!("notifications cannot be sent: {}", chain(error)))?;
        Ok(Self(client))
    }

    pub async fn post(&self, url: &Url, key: &str, body: &Value) -> Outcome {
        let place = url.origin().ascii_serialization();
        let request =
            self.0.post(url.clone()).header("idempotency-key", header(key)).header(CONTENT_TYPE, "application/json");
        let response = match request.body(body.to_string()).send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Later { error: format!("{place}: {}", chain(error)), after: None },
        };
        let status = response.status();
        if status.is_success() {
            return Outcome::Sent;
        }
        let after = retry_after(response.headers(), SystemTime::now());
        let error = format!("{place} answered {status}: {}", excerpt(response, url).await);
        if may_pass(status) { Outcome::Later { error, after } } else { Outcome::Hopeless(error) }
    }
}

/// Whether the same request may be taken later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// Keys are made of names, which may have any letters; a header may not.
fn header(key: &str) -> String {
    key.chars()
        .map(
            |letter| {
                if letter.is_ascii_graphic() { letter.to_string() } else { format!("\\u{{{:x}}}", u32::from(letter)) }
            },
        )
        .collect()
}

/// In seconds, or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let date = || httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default());
    text.parse().ok().map(Duration::from_secs).or_else(date)
}

/// The beginning of an answer in one line. Some repeat the address.
async fn excerpt(mut response: Response, url: &Url) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 4 * EXCERPT
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for secret in [url.as_str(), url.path()].into_iter().filter(|secret| secret.len() > 1) {
        text = text.replace(secret, "***");
    }
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(EXCERPT).collect()
}

/// An error with its causes, without the address.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_headers_whatever_a_model_is_called() {
        assert_eq!(header("iris/sha256:ab/2/7"), "iris/sha256:ab/2/7");
        let odd = header("modèle ä\n/1");
        assert_eq!(odd, "mod\\u{e8}le\\u{20}\\u{e4}\\u{a}/1");
        http::HeaderValue::from_str(&odd).unwrap();
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        let after = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]), now)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sat, 21 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sat, 21 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
