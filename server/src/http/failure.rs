//! The bodies of failures, one for each protocol.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use perch_models::json::write_string;

use super::response::JSON;
use crate::error::{ApiError, ErrorShape};

/// Makes `response` the answer that clients of `shape` expect for `error`: status, headers and body.
pub fn render_error(response: &mut Response, shape: ErrorShape, error: &ApiError, request_id: &HeaderValue) {
    *response.status_mut() = shape.status(error.kind);
    let mut body = Vec::with_capacity(128 + error.message.len());
    match shape {
        ErrorShape::Ours => ours(&mut body, error, request_id),
        ErrorShape::Tei => tei(&mut body, error),
        ErrorShape::OpenAi => openai(&mut body, error),
    }
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    // The router has written down the length of the empty body.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(after) = error.retry_after {
        // Whole seconds, and never "at once".
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

fn ours(body: &mut Vec<u8>, error: &ApiError, request_id: &HeaderValue) {
    body.extend_from_slice(b"{\"error\":{\"code\":");
    write_string(body, error.kind.wire().1);
    body.extend_from_slice(b",\"message\":");
    write_string(body, &error.message);
    body.extend_from_slice(b",\"request_id\":");
    write_string(body, request_id.to_str().unwrap_or_default());
    body.extend_from_slice(b"}}\n");
}

fn tei(body: &mut Vec<u8>, error: &ApiError) {
    body.extend_from_slice(b"{\"error\":");
    write_string(body, &error.message);
    body.extend_from_slice(b",\"error_type\":");
    write_string(body, error.kind.tei().1);
    body.extend_from_slice(b"}\n");
}

fn openai(body: &mut Vec<u8>, error: &ApiError) {
    body.extend_from_slice(b"{\"error\":{\"message\":");
    write_string(body, &error.message);
    body.extend_from_slice(b",\"type\":");
    write_string(body, error.kind.openai().1);
    body.extend_from_slice(b",\"param\":");
    match error.kind.openai_param() {
        Some(param) => write_string(body, param),
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(b",\"code\":");
    write_string(body, error.kind.wire().1);
    body.extend_from_slice(b"}}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use http_body_util::BodyExt;
    use std::time::Duration;

    async fn rendered(shape: ErrorShape, error: ApiError) -> (u16, Option<String>, String) {
        let mut response = Response::new(Body::empty());
        render_error(&mut response, shape, &error, &HeaderValue::from_static("r-1"));
        let (parts, body) = response.into_parts();
        let retry = parts.headers.get(RETRY_AFTER).map(|after| after.to_str().expect("ascii").to_owned());
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status.as_u16(), retry, String::from_utf8(body.to_vec()).expect("utf-8").trim_end().to_owned())
    }

    #[tokio::test]
    async fn each_protocol_has_its_own_status_and_body() {
        let error = || ApiError::new(Kind::InvalidInput, "a \"b\"");
        let expected = [
            (ErrorShape::Ours, 400, r#"{"error":{"code":"invalid_input","message":"a \"b\"","request_id":"r-1"}}"#),
            (ErrorShape::Tei, 422, r#"{"error":"a \"b\"","error_type":"Validation"}"#),
            (
                ErrorShape::OpenAi,
                400,
                r#"{"error":{"message":"a \"b\"","type":"invalid_request_error","param":null,"code":"invalid_input"}}"#,
            ),
        ];
        for (shape, status, body) in expected {
            assert_eq!(rendered(shape, error()).await, (status, None, body.to_owned()), "{shape:?}");
        }
    }

    #[tokio::test]
    async fn what_may_be_tried_again_says_when() {
        for shape in [ErrorShape::Ours, ErrorShape::Tei, ErrorShape::OpenAi] {
            let error = ApiError::overloaded("busy", Duration::from_millis(1500));
            let (status, retry, _) = rendered(shape, error).await;
            assert_eq!((status, retry.as_deref()), (429, Some("2")), "{shape:?}");
        }
    }

    #[tokio::test]
    async fn types_are_those_that_clients_of_tei_and_openai_know() {
        let kinds = [
            (Kind::EmptyInput, (400, "Empty"), (400, "invalid_request_error")),
            (Kind::Tokenizer, (422, "Tokenizer"), (400, "invalid_request_error")),
            (Kind::TooManyInputs, (413, "Validation"), (413, "invalid_request_error")),
            (Kind::BodyTooLarge, (413, "Validation"), (413, "invalid_request_error")),
            (Kind::ModelNotFound, (404, "Validation"), (404, "invalid_request_error")),
            (Kind::NotText, (404, "Validation"), (404, "invalid_request_error")),
            (Kind::Overloaded, (429, "Overloaded"), (429, "rate_limit_error")),
            (Kind::ModelFailed, (424, "Backend"), (500, "server_error")),
            (Kind::Internal, (500, "Backend"), (500, "server_error")),
            (Kind::NotReady, (503, "Unhealthy"), (503, "server_error")),
            (Kind::FallbackExhausted, (503, "Unhealthy"), (503, "server_error")),
            (Kind::Timeout, (504, "Backend"), (504, "server_error")),
        ];
        for (kind, tei, openai) in kinds {
            assert_eq!((kind.tei().0.as_u16(), kind.tei().1), tei, "{kind:?}");
            assert_eq!((kind.openai().0.as_u16(), kind.openai().1), openai, "{kind:?}");
        }
        let (_, _, body) = rendered(ErrorShape::OpenAi, ApiError::new(Kind::ModelNotFound, "no model \"x\"")).await;
        assert!(body.ends_with(r#""param":"model","code":"model_not_found"}}"#), "{body}");
    }
}
