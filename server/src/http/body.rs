//! Reading a request's body within its size and its time.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::{ApiError, Kind};

/// The whole body: at most `most` bytes, before `deadline`.
///
/// # Errors
/// 413, 408, or 400 when the client breaks off.
pub async fn read(request: Request<Body>, most: usize, deadline: Instant) -> Result<Bytes, ApiError> {
    let too_large = |size: &str| {
        ApiError::new(Kind::BodyTooLarge, format!("the body{size} is larger than server.maxBody, {most} bytes"))
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(size) = announced.filter(|size| *size > most as u64) {
        return Err(too_large(&format!(" of {size} bytes")));
    }
    let reading = Limited::new(request.into_body(), most).collect();
    match tokio::time::timeout_at(deadline.into(), reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large("")),
        Ok(Err(error)) => Err(ApiError::new(Kind::InvalidInput, format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::new(Kind::BodyTimeout, "the body did not come within server.requestTimeout")),
    }
}
