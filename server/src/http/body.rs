//! Reading a request's body within its size and its time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, Kind};

/// Bodies up to this many bytes are not counted: `server.maxInFlight` bounds them well enough.
const SMALL: u64 = 64 << 10;
/// What permits count: a semaphore holds too few of them to count bytes.
const UNIT: u64 = 1 << 10;

/// How much may be read at once, of one body and of all.
pub struct BodyLimits {
    most: usize,
    buffered: Arc<Semaphore>,
}

/// A body, and its share of `server.maxBuffered` while it is held.
pub struct Buffered {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether they were there when they were asked for.
    pub at_once: bool,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyLimits {
    /// At most `most` bytes a body, and `all` bytes of large bodies at a time.
    #[must_use]
    pub fn new(most: usize, all: usize) -> Self {
        let units = (all as u64 / UNIT).min(Semaphore::MAX_PERMITS as u64);
        Self { most, buffered: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS))) }
    }

    /// The whole body, before `deadline`.
    ///
    /// # Errors
    /// 413, 408, 429, or 400 when the client breaks off.
    pub async fn read(&self, headers: &HeaderMap, body: Body, deadline: Instant) -> Result<Buffered, ApiError> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if let Some(size) = announced.filter(|size| *size > self.most as u64) {
            return Err(self.too_large(&format!(" of {size} bytes")));
        }
        let share = self.share(announced)?;
        let mut reading = pin!(Limited::new(body, self.most).collect());
        // Most bodies come with their heads: no timer for those.
        let (read, at_once) = match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
            Poll::Ready(read) => (Ok(read), true),
            Poll::Pending => (tokio::time::timeout_at(deadline.into(), reading).await, false),
        };
        match read {
            Ok(Ok(body)) => Ok(Buffered { bytes: body.to_bytes(), at_once, _share: share }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large("")),
            Ok(Err(error)) => Err(ApiError::new(Kind::InvalidInput, format!("the body broke off: {error}"))),
            Err(_) => Err(ApiError::new(Kind::BodyTimeout, "the body did not come within server.requestTimeout")),
        }
    }

    /// A body that does not say how long it is may become as long as any.
    fn share(&self, announced: Option<u64>) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let size = announced.unwrap_or(self.most as u64);
        if size <= SMALL {
            return Ok(None);
        }
        let units = u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let busy =
            |_| ApiError::overloaded("server.maxBuffered bytes of bodies are held already", Duration::from_secs(1));
        self.buffered.clone().try_acquire_many_owned(units).map(Some).map_err(busy)
    }

    fn too_large(&self, size: &str) -> ApiError {
        let most = self.most;
        ApiError::new(Kind::BodyTooLarge, format!("the body{size} is larger than server.maxBody, {most} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(limits: &BodyLimits, size: usize) -> Result<Buffered, ApiError> {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, size.into())]);
        limits.read(&headers, Body::from(vec![b' '; size]), Instant::now() + Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn large_bodies_share_what_may_be_buffered() {
        let limits = BodyLimits::new(1 << 20, 1 << 20);
        let held = read(&limits, 800 << 10).await.expect("room for one");
        let error = read(&limits, 800 << 10).await.err().expect("no room for two");
        assert_eq!(error.kind, Kind::Overloaded);
        assert!(read(&limits, 1 << 10).await.is_ok(), "small ones are not counted");
        drop(held);
        assert!(read(&limits, 800 << 10).await.is_ok(), "room again");
        assert_eq!(read(&limits, 2 << 20).await.err().expect("too large").kind, Kind::BodyTooLarge);
    }
}
