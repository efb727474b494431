//! A plain HTTP/1.1 client over one socket. Tests see every byte, and nothing is retried behind their back.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::Reply;
use crate::wait::LONG;

/// Keeps its connection for the next request, unless the server asked to close it.
pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at `address`; it connects when it is first used.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// The connection, opened now if there is none.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn connect(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(10))?;
            stream.set_nodelay(true)?;
            // Nothing hangs: a server that never answers fails the test.
            stream.set_read_timeout(Some(LONG))?;
            stream.set_write_timeout(Some(LONG))?;
            self.stream = Some(BufReader::new(stream));
        }
        self.stream.as_mut().map(BufReader::get_mut).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connect()?.write_all(bytes)
    }

    /// Reads the next answer. `Ok(None)` when the server closed the connection before its first byte.
    ///
    /// # Errors
    /// When the answer is cut or does not come.
    pub fn receive(&mut self) -> io::Result<Option<Reply>> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        let reply = Reply::read(stream);
        if !matches!(&reply, Ok(Some(reply)) if !reply.closes()) {
            self.stream = None;
        }
        reply
    }

    /// Hangs up without another word.
    pub fn hang_up(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The server may have been faster.
            let _ = stream.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        self.send(&request(method, path, headers, body))?;
        self.receive()?.ok_or_else(|| io::Error::new(ErrorKind::ConnectionReset, "closed without an answer"))
    }

    /// One request and its answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_request(method, path, headers, body).expect("an answer")
    }

    /// Gets a path.
    pub fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// Posts a prediction as it stands.
    pub fn post(&mut self, body: impl AsRef<[u8]>) -> Reply {
        self.request("POST", "/predict", &[], body.as_ref())
    }

    /// Posts a prediction.
    pub fn predict(&mut self, body: &Value) -> Reply {
        self.post(body.to_string())
    }
}

/// A request's bytes, with its length.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: perch\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if method != "GET" || !body.is_empty() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
