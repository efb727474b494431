//! As much of HTTP/1.1 as it takes to see where requests and answers begin, and where bodies are.

use std::io::{self, Read};

const END: &[u8] = b"\r\n\r\n";

/// A request that is being read.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// A request that begins so.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }

    /// Reads on until it is whole.
    pub(super) fn read_rest(mut self, mut from: impl Read) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while !self.is_whole() {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                count => self.0.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let Some(end) = self.0.windows(END.len()).position(|window| window == END) else { return false };
        let head = String::from_utf8_lossy(&self.0[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if head.contains("transfer-encoding: chunked") {
            return self.0.ends_with(b"0\r\n\r\n");
        }
        self.0.len() >= end + END.len() + length.unwrap_or(0)
    }
}

/// Where an answer is that comes in pieces.
#[derive(Default)]
pub(super) struct Response {
    head: Vec<u8>,
    in_body: bool,
    chunked: bool,
    /// A line between chunks.
    line: Vec<u8>,
    /// What is missing of a chunk.
    chunk: u64,
    /// Bytes of the body so far.
    body: u64,
    touched: bool,
}

impl Response {
    /// True when its head was there, other than one that asks for the rest of the request.
    pub(super) const fn has_begun(&self) -> bool {
        self.in_body
    }

    /// Takes more bytes of it, flips a bit in byte `flip` of the body, and says whether they are the first ones.
    pub(super) fn read(&mut self, bytes: &mut [u8], flip: Option<u64>) -> bool {
        for byte in bytes {
            if !self.in_body {
                self.read_head(*byte);
            } else if self.chunked && self.chunk == 0 {
                self.read_line(*byte);
            } else {
                *byte ^= u8::from(flip == Some(self.body));
                self.body += 1;
                self.chunk = self.chunk.saturating_sub(1);
            }
        }
        !std::mem::replace(&mut self.touched, true)
    }

    fn read_head(&mut self, byte: u8) {
        self.head.push(byte);
        if self.head.ends_with(END) {
            let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
            self.in_body = !head.starts_with("http/1.1 1");
            self.chunked = head.contains("\r\ntransfer-encoding: chunked");
            self.head.clear();
        }
    }

    fn read_line(&mut self, byte: u8) {
        self.line.push(byte);
        if byte == b'\n' {
            // Empty after a chunk.
            let size = String::from_utf8_lossy(&self.line);
            self.chunk = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            self.line.clear();
        }
    }
}
