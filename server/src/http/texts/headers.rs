//! What the headers of an answer to texts say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use perch_models::backend::Device;
use perch_models::text::TextInput;

use crate::http::response::FALLBACK;
use crate::http::timing::{SERVER_TIMING, server_timing};
use crate::texts::RanTexts;

const COMPUTE_TYPE: HeaderName = HeaderName::from_static("x-compute-type");
const COMPUTE_TIME: HeaderName = HeaderName::from_static("x-compute-time");
const COMPUTE_CHARACTERS: HeaderName = HeaderName::from_static("x-compute-characters");
const COMPUTE_TOKENS: HeaderName = HeaderName::from_static("x-compute-tokens");
const TOTAL_TIME: HeaderName = HeaderName::from_static("x-total-time");
const TOKENIZATION_TIME: HeaderName = HeaderName::from_static("x-tokenization-time");
const QUEUE_TIME: HeaderName = HeaderName::from_static("x-queue-time");
const INFERENCE_TIME: HeaderName = HeaderName::from_static("x-inference-time");

/// Headers that an answer has in the end. A map that grows is built anew each time.
const ROOM: usize = 24;

/// Characters of a request, as TEI counts them: a token counts as one.
#[must_use]
pub fn characters(inputs: &[TextInput]) -> usize {
    let count = |text: &str| text.chars().count();
    // A large query before many texts is looked at once.
    let mut last: Option<(&Arc<str>, usize)> = None;
    let each = inputs.iter().map(|input| match input {
        TextInput::Text(text) => count(text),
        TextInput::Pair(first, second) => {
            let known = last.filter(|(text, _)| Arc::ptr_eq(text, first));
            let (_, first) = *last.insert(known.unwrap_or_else(|| (first, count(first))));
            first + count(second)
        }
        TextInput::Ids(ids) => ids.len(),
    });
    each.sum()
}

/// `x-compute-type` of a version that computes there.
#[must_use]
pub const fn compute_type(device: Device) -> HeaderValue {
    match device {
        Device::Cuda(_) => HeaderValue::from_static("gpu"),
        Device::Auto | Device::Cpu | Device::OpenVino => HeaderValue::from_static("cpu"),
    }
}

/// TEI's headers, times in whole milliseconds; and ours.
#[must_use]
pub fn of(ran: &RanTexts, characters: usize, arrived: Instant, compute_type: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(ROOM);
    headers.extend(ran.served.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    let total = arrived.elapsed();
    headers.insert(COMPUTE_TYPE, compute_type);
    headers.insert(COMPUTE_CHARACTERS, characters.into());
    headers.insert(COMPUTE_TOKENS, ran.tokens.iter().sum::<usize>().into());
    let times = ran.times;
    for (name, time) in [
        (COMPUTE_TIME, total),
        (TOTAL_TIME, total),
        (TOKENIZATION_TIME, times.tokenization),
        (QUEUE_TIME, times.queue),
        (INFERENCE_TIME, times.inference),
    ] {
        headers.insert(name, millis(time));
    }
    let parts = [("tokenize", times.tokenization), ("queue", times.queue), ("execute", times.inference)];
    headers.insert(SERVER_TIMING, server_timing(parts));
    if let Some(why) = ran.fallback {
        headers.insert(FALLBACK, HeaderValue::from_static(why.name()));
    }
    headers
}

fn millis(time: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_as_tei_counts_them() {
        let inputs =
            [TextInput::Text("äb".into()), TextInput::Pair("a".into(), "bc".into()), TextInput::Ids(vec![1, 2])];
        assert_eq!(characters(&inputs), 7);
        let (query, other): (Arc<str>, Arc<str>) = ("äöü".into(), "x".into());
        let pair = |first: &Arc<str>, second: &str| TextInput::Pair(first.clone(), second.into());
        assert_eq!(characters(&[pair(&query, "a"), pair(&query, "bc"), pair(&other, ""), pair(&query, "")]), 13);
    }
}
