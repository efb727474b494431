//! One HTTP answer, as it came over the wire.

use std::io::{self, BufRead, ErrorKind};

use serde_json::Value;

use crate::json;

/// Status, headers in order, and the whole body.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer encoding.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one answer. `Ok(None)` when the other side closed before its first byte.
    ///
    /// # Errors
    /// When the answer is cut or is no HTTP.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        // A process that was stopped for a moment is told so when it goes on; the other ways to read do not mind.
        let over = loop {
            match from.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                filled => break filled?.is_empty(),
            }
        };
        if over {
            return Ok(None);
        }
        let first = line(from)?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| broken(format!("no status line: {first:?}")))?;
        let mut reply = Self { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = line(from)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(format!("no header: {line:?}")))?;
            reply.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        reply.read_body(from)?;
        Ok(Some(reply))
    }

    fn read_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        if self.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = line(from)?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| broken(format!("no chunk size: {size:?}")))?;
                let start = self.body.len();
                self.body.resize(start + size, 0);
                from.read_exact(&mut self.body[start..])?;
                line(from)?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = self.header("content-length").map_or(Ok(0), str::parse);
        self.body.resize(length.map_err(|_| broken("no content length"))?, 0);
        from.read_exact(&mut self.body)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True when the connection must not be used again.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON, with strings for NaN and infinities.
    pub fn json(&self) -> Value {
        let parsed = json::parse(&self.body);
        parsed.map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&self.body))).expect("JSON")
    }

    /// The body of a successful answer.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Code and message of a failure, after checking that it has the shape all failures have.
    pub fn error(&self, status: u16) -> (String, String) {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{body}");
        let error = body["error"].as_object().expect("an object `error`");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        assert_eq!(error.len(), 3, "code, message, request_id and nothing else: {body}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{body}");
        let text = |key: &str| error[key].as_str().filter(|text| !text.is_empty()).expect("a text").to_owned();
        (text("code"), text("message"))
    }
}

fn broken(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => String::from_utf8(line.to_vec()).map_err(|_| broken("a head that is not UTF-8")),
        None => Err(io::Error::new(ErrorKind::UnexpectedEof, "the answer was cut in its head")),
    }
}
