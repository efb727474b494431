//! Requests to a running server's `/admin/rollouts`, and what their failures mean for a person.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use http::{HeaderValue, StatusCode};
use reqwest::{Certificate, Method, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::options::TOKEN_VARIABLE;
use super::render::text::clean;
use super::view::View;
use crate::cli::Failure;

/// No answer is larger; one that is, is not perch's.
const MAX_ANSWER: usize = 32 << 20;
/// As much of a strange answer as an error shows.
const EXCERPT: usize = 200;
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// What a client is made of.
pub(super) struct Settings {
    pub(super) server: String,
    pub(super) token: Option<String>,
    pub(super) ca_cert: Option<Vec<u8>>,
}

/// A running server.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There was no answer.
    Unreachable(String),
    /// The server said no.
    Refused { status: StatusCode, message: String },
    /// It is no answer of perch's.
    Strange(String),
}

/// The body of a refusal.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Deserialize)]
struct ErrorText {
    message: String,
}

#[derive(Deserialize)]
struct Names {
    rollouts: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    model: String,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let wrong = |reason: &str| Failure::Usage(format!("--server {}: {reason}", clean(&settings.server)));
        let base = Url::parse(settings.server.trim_end_matches('/')).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("expected http://HOST:PORT or https://HOST:PORT"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            let message = format!("--server: a password does not belong into the URL; perch takes {TOKEN_VARIABLE}");
            return Err(Failure::Usage(message));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("perch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // The token goes to the named server only.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            // A proxy cannot reach this machine's own server.
            builder = builder.no_proxy();
        }
        if let Some(pem) = &settings.ca_cert {
            let usage = |error: reqwest::Error| Failure::Usage(format!("--ca-cert: {}", cause(&error)));
            for certificate in Certificate::from_pem_bundle(pem).map_err(usage)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let token = settings.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Failure::Usage("the admin token has characters that no header takes".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let http = builder.build().map_err(|error| Failure::Failed(cause(&error)))?;
        Ok(Self { http, base, token: token.transpose()? })
    }

    /// The server's address.
    pub(super) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The model that is meant where none is named: the only one.
    pub(super) async fn model(&self, named: Option<&str>) -> Result<String, Failure> {
        if let Some(name) = named {
            return Ok(name.to_owned());
        }
        let answer = self.get(&[], &[]).await.map_err(|trouble| self.failure(trouble))?;
        let names: Names = self.parse(answer).map_err(|trouble| self.failure(trouble))?;
        let mut names: Vec<String> = names.rollouts.into_iter().map(|named| named.model).collect();
        match names.len() {
            0 => Err(Failure::Failed(format!("{} has no models", self.address()))),
            1 => Ok(names.remove(0)),
            _ => {
                let names = clean(&names.join(", "));
                Err(Failure::Usage(format!("which model? {} has {names}", self.address())))
            }
        }
    }

    /// Reads what is below `/admin/rollouts`.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Trouble> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(self.http.get(url)).await
    }

    /// Gives a command to a model.
    pub(super) async fn post(&self, path: &[&str], body: &Value, generation: Option<u64>) -> Result<Value, Trouble> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(body);
        if let Some(generation) = generation {
            request = request.header(IF_MATCH, format!("\"{generation}\""));
        }
        self.ask(request).await
    }

    /// Begins to read a model's events; the answer has no end.
    pub(super) async fn events(&self, model: &str) -> Result<Response, Trouble> {
        let request = self.http.get(self.url(&[model, "events"])).header(ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(ANSWER, self.authorized(request).send()).await;
        let response = sent.map_err(|_| Trouble::Unreachable("no answer in time".to_owned()))?;
        let response = response.map_err(|error| Trouble::Unreachable(cause(&error)))?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return Ok(response);
        }
        let kind = clean(kind);
        Err(Trouble::Strange(format!("{} answers with {kind:?} where events were asked for", self.address())))
    }

    /// A view as perch understands it.
    pub(super) fn view(&self, answer: Value) -> Result<View, Failure> {
        self.parse(answer).map_err(|trouble| self.failure(trouble))
    }

    /// An answer as perch understands it.
    pub(super) fn parse<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Trouble> {
        serde_json::from_value(answer).map_err(|error| {
            Trouble::Strange(format!("{} answers with what is not perch's JSON: {error}", self.address()))
        })
    }

    /// What a failed request means.
    pub(super) fn failure(&self, trouble: Trouble) -> Failure {
        let address = self.address();
        match trouble {
            Trouble::Unreachable(cause) => Failure::Missing(format!(
                "{address} cannot be reached: {cause}; start the server, or name another one with --server URL or \
                 PERCH_SERVER"
            )),
            Trouble::Refused { status: StatusCode::UNAUTHORIZED, message } => {
                let advice = if self.token.is_some() {
                    format!("the token of {TOKEN_VARIABLE} or --token-file is not the server's")
                } else {
                    format!("set {TOKEN_VARIABLE} to the server's admin token, or give --token-file FILE")
                };
                Failure::Failed(format!("{address}: {message}; {advice}"))
            }
            Trouble::Refused { status: StatusCode::BAD_REQUEST, message } => Failure::Usage(message),
            Trouble::Refused { status: StatusCode::SERVICE_UNAVAILABLE, message } => {
                Failure::Missing(format!("{address}: {message}"))
            }
            Trouble::Strange(message) | Trouble::Refused { message, .. } => Failure::Failed(message),
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Fails on URLs without a host only, which `new` refuses.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["admin", "rollouts"]).extend(path);
        }
        url
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, Trouble> {
        let response = self.authorized(request).timeout(ANSWER).send().await;
        let response = response.map_err(|error| Trouble::Unreachable(cause(&error)))?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let body = body(response, MAX_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let message = format!("{} answers with what is not perch's: {}", self.address(), excerpt(&body));
            Trouble::Strange(message)
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn refused(response: Response) -> Trouble {
    let status = response.status();
    let body = match body(response, MAX_ANSWER).await {
        Ok(body) => body,
        Err(trouble) => return trouble,
    };
    let message = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => clean(&body.error.message),
        Err(_) => format!("{status}, which is no answer of perch's: {}", excerpt(&body)),
    };
    Trouble::Refused { status, message }
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::Unreachable(cause(&error)))? {
        if body.len() + chunk.len() > limit {
            return Err(Trouble::Strange(format!("the answer is longer than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The start of a body on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    clean(&text).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
}

/// What is at the bottom of an error: above it stands only that a request failed.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| "the request failed".to_owned(), |last| clean(&last.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Result<Client, Failure> {
        Client::new(&Settings { server: server.to_owned(), token: None, ca_cert: None })
    }

    #[test]
    fn urls_keep_a_path_and_encode_names() {
        let client = client("http://h:1/base/").expect("a client");
        assert_eq!(client.url(&["a b/ü", "events"]).as_str(), "http://h:1/base/admin/rollouts/a%20b%2F%C3%BC/events");
        assert_eq!(client.url(&[]).as_str(), "http://h:1/base/admin/rollouts");
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for (server, piece) in [
            ("127.0.0.1:8000", "--server 127.0.0.1:8000"),
            ("ftp://host", "expected http://HOST:PORT"),
            ("http://me:secret@host", "PERCH_ADMIN_TOKEN"),
        ] {
            let Err(Failure::Usage(message)) = client(server) else { panic!("{server} is taken") };
            assert!(message.contains(piece) && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_token_is_a_header() {
        let settings = Settings { server: "http://h".into(), token: Some("a\nb".into()), ca_cert: None };
        assert!(matches!(Client::new(&settings), Err(Failure::Usage(_))));
    }

    #[test]
    fn this_machine_is_known() {
        let loopback = |url: &str| is_loopback(&Url::parse(url).expect("a URL"));
        assert!(loopback("http://127.0.0.1:1") && loopback("http://[::1]:1") && loopback("http://localhost"));
        assert!(!loopback("http://perch:8000"));
    }
}
