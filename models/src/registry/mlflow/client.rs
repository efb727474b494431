//! Requests to an MLflow server: address, authentication, TLS, time limits, retries, and errors in one line.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::wire::ErrorBody;

/// No answer of the registry is larger; one that is, is not MLflow's.
const MAX_ANSWER: usize = 32 << 20;
/// As much of a strange answer as an error shows.
const EXCERPT: usize = 200;
/// Tries of one request.
const TRIES: usize = 3;

/// How an MLflow server is reached.
#[derive(Clone, Default)]
pub struct Options {
    /// Its address, `http://mlflow:5000`.
    pub uri: String,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// Name and password; they are preferred to a token, as MLflow's own client does.
    pub basic: Option<(String, String)>,
    /// A bearer token.
    pub token: Option<String>,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_cert: Option<Vec<u8>>,
    /// Whether any certificate is taken.
    pub insecure_tls: bool,
}

/// A request that failed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub(super) enum ClientError {
    /// It may work later: the network, an overloaded or failing server.
    #[error("{0}")]
    Transient(String),
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// MLflow's error code, where it gave one.
        code: String,
        /// Everything in one line.
        message: String,
    },
    /// It is no answer of MLflow's.
    #[error("{0}")]
    Strange(String),
}

impl ClientError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST")
    }
}

/// An MLflow server.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    options: Options,
}

impl Client {
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let base =
            Url::parse(options.uri.trim_end_matches('/')).map_err(|error| format!("{}: {error}", options.uri))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("perch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.timeout)
            .read_timeout(options.timeout)
            // Credentials go to the configured server only.
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(options.insecure_tls);
        if let Some(pem) = &options.ca_cert {
            for certificate in Certificate::from_pem_bundle(pem).map_err(|error| flat(&error))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self { http: builder.build().map_err(|error| flat(&error))?, base, options })
    }

    /// The server's address without what is secret in it.
    pub(super) fn address(&self) -> String {
        let mut url = self.base.clone();
        // Neither can fail on a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Asks for `path` of the registry's API, and gives the body as it came.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, ClientError> {
        self.ask(Method::GET, &format!("api/2.0/mlflow/{path}"), query, None).await
    }

    /// Asks for `path` of the registry's API.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        let body = self.get(path, query).await?;
        self.parse(path, &body)
    }

    /// Changes something.
    pub(super) async fn change(&self, method: Method, path: &str, body: &Value) -> Result<(), ClientError> {
        self.ask(method, &format!("api/2.0/mlflow/{path}"), &[], Some(body)).await.map(drop)
    }

    /// Lists a folder behind the artifact proxy.
    pub(super) async fn list_artifacts<T: DeserializeOwned>(&self, folder: &str) -> Result<T, ClientError> {
        let path = "api/2.0/mlflow-artifacts/artifacts";
        let body = self.ask(Method::GET, path, &[("path", folder)], None).await?;
        self.parse(path, &body)
    }

    /// Begins to read a file behind the artifact proxy; it may take as long as it moves.
    pub(super) async fn open_artifact(&self, path: &str) -> Result<Response, ClientError> {
        let encoded: Vec<String> = path.split('/').map(url_part).collect();
        let url = self.url(&format!("api/2.0/mlflow-artifacts/artifacts/{}", encoded.join("/")), &[]);
        let request = self.authorized(self.http.get(url));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| {
            ClientError::Strange(format!(
                "{} answers {path} with what is not MLflow's JSON ({error}): {}",
                self.address(),
                excerpt(body)
            ))
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Vec<u8>, ClientError> {
        let url = self.url(path, query);
        let once = || async {
            let mut request = self.authorized(self.http.request(method.clone(), url.clone()));
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            if response.status().is_success() { self.body(response).await } else { Err(self.refused(response).await) }
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(TRIES - 1)
            .with_jitter();
        let tried = once.retry(backoff).when(|error| matches!(error, ClientError::Transient(_)));
        // The bound holds for all tries together: a poll must not outlast the next one by much.
        let all = tokio::time::timeout(self.options.timeout, tried).await;
        all.unwrap_or_else(|_| {
            let message = format!("{} gave no answer to {path} within {:?}", self.address(), self.options.timeout);
            Err(ClientError::Transient(message))
        })
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match (&self.options.basic, &self.options.token) {
            (Some((name, password)), _) => request.basic_auth(name, Some(password)),
            (None, Some(token)) => request.bearer_auth(token),
            (None, None) => request,
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let message = format!("{} answers with more than {} MiB", self.address(), MAX_ANSWER >> 20);
                return Err(ClientError::Strange(message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn refused(&self, response: Response) -> ClientError {
        let (status, url) = (response.status(), response.url().path().to_owned());
        let body = self.body(response).await.unwrap_or_default();
        let parsed: Option<ErrorBody> = serde_json::from_slice(&body).ok();
        let (code, said) = match parsed {
            Some(error) if !error.message.is_empty() => (error.error_code, excerpt(error.message.as_bytes())),
            _ => (String::new(), excerpt(&body)),
        };
        let message = format!("{} answers {url} with {status}: {said}", self.address());
        let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if later { ClientError::Transient(message) } else { ClientError::Refused { status, code, message } }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Transient(format!("{} cannot be asked: {}", self.address(), flat(error)))
    }
}

/// A part of a path, with everything encoded that is not plain.
fn url_part(part: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    // Unreserved characters, RFC 3986, section 2.3.
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(part, SET).to_string()
}

/// The start of a body on one line; of a page its title.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let text = title.map_or(&*text, |(title, _)| title);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(EXCERPT).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// The error's causes, outermost first, without the URL: it may hold a password.
pub(super) fn flat(error: &reqwest::Error) -> String {
    let mut text = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push(next.to_string());
        cause = next.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uri: &str) -> Client {
        let options = Options { uri: uri.into(), timeout: Duration::from_secs(1), ..Options::default() };
        Client::new(options).expect("a client")
    }

    #[test]
    fn addresses_keep_their_path_and_lose_their_password() {
        let client = client("https://me:secret@host/mlflow/");
        assert_eq!(client.address(), "https://host/mlflow");
        let url = client.url("api/2.0/mlflow/registered-models/get", &[("name", "a b&c")]);
        assert_eq!(url.path(), "/mlflow/api/2.0/mlflow/registered-models/get");
        assert_eq!(url.query(), Some("name=a+b%26c"));
        assert_eq!(url_part("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn strange_answers_are_shown_in_part() {
        let error =
            client("http://h").parse::<ErrorBody>("get", b"<html>\n<title>Login</title>").err().expect("no JSON");
        let text = error.to_string();
        assert!(text.starts_with("http://h answers get with what is not MLflow's JSON"), "{text}");
        assert!(text.ends_with(": Login"), "{text}");
        assert_eq!(excerpt(b"<p>no\n title"), "<p>no title");
        assert_eq!(excerpt(&[b'x'; 5000]).chars().count(), EXCERPT + 1);
    }
}
