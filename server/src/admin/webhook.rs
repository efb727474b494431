//! `POST /admin/webhooks/mlflow`: takes the webhooks of MLflow's model registry (3.x), one URL for all models.
//!
//! MLflow cannot send a bearer token; it signs with the webhook's secret, which has to be `server.adminToken`:
//! `X-MLflow-Signature: v1,BASE64(HMAC-SHA256(secret, DELIVERY_ID.TIMESTAMP.BODY))`. Source: MLflow's documentation,
//! "Webhooks", and what 3.17.2 sends.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use super::access::Access;
use crate::config::Secret;
use crate::error::{ApiError, Kind};
use crate::http::response::json_answer;
use crate::reconcile::Refresh;

/// Events are small.
const MAX_BODY: usize = 64 << 10;
/// A signature is good for so many seconds around the time that it was made.
const FRESH: u64 = 300;

#[derive(Clone)]
pub(super) struct Webhook {
    pub(super) access: Arc<Access>,
    pub(super) refresh: Refresh,
}

/// An event, as far as it matters: which model. Aliases, tags and versions all mean that it has to be looked at.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    entity: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    name: String,
}

/// Answers 202 at once.
pub(super) async fn receive(State(webhook): State<Webhook>, request: Request) -> Response {
    match webhook.take(request).await {
        Ok(model) => json_answer(StatusCode::ACCEPTED, &json!({"model": model, "refresh": "begun"})),
        Err(error) => error.into_response(),
    }
}

impl Webhook {
    async fn take(&self, request: Request) -> Result<String, ApiError> {
        let (head, body) = request.into_parts();
        let allowed = self.access.check(&head.headers);
        let body = read(body).await?;
        match (self.access.as_ref(), allowed) {
            (_, Ok(())) => {}
            (Access::Token(token), Err(error)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                if !is_signed(token, &head.headers, &body, now) {
                    return Err(error);
                }
            }
            (_, Err(error)) => return Err(error),
        }
        let invalid = |message: String| ApiError::new(Kind::InvalidInput, message);
        let event: Event = serde_json::from_slice(&body)
            .map_err(|error| invalid(format!("expected an event of MLflow's model registry: {error}")))?;
        if event.data.name.is_empty() {
            return Err(invalid(format!("data.name: expected a model's name in an event of \"{}\"", event.entity)));
        }
        self.refresh.registered(&event.data.name);
        Ok(event.data.name)
    }
}

async fn read(body: Body) -> Result<axum::body::Bytes, ApiError> {
    let too_large = |_| ApiError::new(Kind::BodyTooLarge, format!("expected an event of at most {MAX_BODY} bytes"));
    to_bytes(body, MAX_BODY).await.map_err(too_large)
}

fn is_signed(secret: &Secret, headers: &HeaderMap, body: &[u8], now: u64) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(signature), Some(id), Some(time)) =
        (header("x-mlflow-signature"), header("x-mlflow-delivery-id"), header("x-mlflow-timestamp"))
    else {
        return false;
    };
    let fresh = time.parse::<u64>().is_ok_and(|time| now.abs_diff(time) <= FRESH);
    let signature = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
    let (true, Some(signature)) = (fresh, signature) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    // In constant time.
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_mlflows() {
        // Python: "v1," + base64.b64encode(hmac.new(b"secret", b'id-1.1700000000.{"a": 1}', "sha256").digest())
        let right = "v1,jAyhWuvJRcQMVbD7m4Iar2/4+6HricjeksyI87v/Tkk=";
        let headers = |signature: &str, time: &str| -> HeaderMap {
            [("x-mlflow-signature", signature), ("x-mlflow-delivery-id", "id-1"), ("x-mlflow-timestamp", time)]
                .into_iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
                .collect()
        };
        let signed = |secret: &str, headers: &HeaderMap, body: &str, now| {
            is_signed(&Secret::new(secret), headers, body.as_bytes(), now)
        };
        let (time, body) = ("1700000000", r#"{"a": 1}"#);
        assert!(signed("secret", &headers(right, time), body, 1_700_000_100));
        assert!(!signed("other", &headers(right, time), body, 1_700_000_100), "another secret");
        assert!(!signed("secret", &headers(right, time), r#"{"a": 2}"#, 1_700_000_100), "another body");
        assert!(!signed("secret", &headers(right, "1700000001"), body, 1_700_000_100), "another time");
        assert!(!signed("secret", &headers(right, time), body, 1_700_000_301), "too late");
        assert!(!signed("secret", &headers("v1,!", time), body, 1_700_000_100), "no base64");
        assert!(!signed("secret", &HeaderMap::new(), body, 1_700_000_100), "no headers");
    }
}
