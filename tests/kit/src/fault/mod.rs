//! A network that can be broken while it is in use: a TCP proxy in front of one address.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connection::Connection;

mod connection;
mod http;
#[cfg(test)]
mod tests;

/// What is done to connections, those that are open too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: bytes go through.
    Pass,
    /// Connections are closed: new ones at once, others too.
    Refuse,
    /// Connections are taken and nothing comes back, until the mode changes.
    Stall,
    /// Every answer begins that much later.
    Delay(Duration),
    /// A connection is closed after so many bytes of answers, counted from here on.
    CutAfter(u64),
    /// Answers come with so many bytes a second, at most.
    Throttle(u64),
    /// Every request is answered with these bytes, whoever it was for, and the connection is closed.
    Answer(Vec<u8>),
    /// A bit is flipped in this byte of every answer's body that is so long; chunks' heads do not count.
    FlipByte {
        /// How many bytes of the body are before it.
        after: u64,
    },
}

impl Mode {
    /// Answers everything with this status and this body.
    pub fn answer(status: u16, content_type: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} As The Test Wants It\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        Self::Answer(head.into())
    }
}

/// The proxy. Its connections are closed when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    rule: Mutex<Rule>,
    /// Both ends of every open connection.
    open: Mutex<BTreeMap<u64, Vec<TcpStream>>>,
    stopped: AtomicBool,
    connections: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Clone)]
struct Rule {
    mode: Mode,
    /// Only for requests with this in their first line.
    only: Option<String>,
    /// Counts the changes.
    change: u64,
}

impl FaultProxy {
    /// A proxy in front of `upstream`, which need not be there yet; it listens on a free port.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Rule { mode: Mode::Pass, only: None, change: 0 }),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let acceptor = {
            let shared = shared.clone();
            thread::spawn(move || shared.accept(&listener))
        };
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets what is done to all connections from now on.
    pub fn set(&self, mode: Mode) {
        let refuse = mode == Mode::Refuse;
        self.shared.change(mode, None);
        if refuse {
            self.shared.close_all();
        }
    }

    /// Sets what is done to requests with `part` in their first line, such as `GET /health `; the others pass.
    pub fn set_for(&self, part: &str, mode: Mode) {
        self.shared.change(mode, Some(part.to_owned()));
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many bytes of answers it has forwarded.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.close_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = stream else { continue };
            let id = self.connections.fetch_add(1, Ordering::SeqCst);
            if self.rule_for("").mode == Mode::Refuse {
                continue;
            }
            let shared = self.clone();
            thread::spawn(move || {
                // An end that breaks is what this is for.
                let _ = Connection::new(shared, id).serve(&client);
            });
        }
    }

    fn change(&self, mode: Mode, only: Option<String>) {
        let mut rule = lock(&self.rule);
        *rule = Rule { mode, only, change: rule.change + 1 };
    }

    /// What is done to a request with this first line.
    fn rule_for(&self, line: &str) -> Rule {
        let mut rule = lock(&self.rule).clone();
        if rule.only.as_ref().is_some_and(|part| !line.contains(part)) {
            rule.mode = Mode::Pass;
        }
        rule
    }

    fn keep(&self, id: u64, stream: &TcpStream) -> io::Result<()> {
        lock(&self.open).entry(id).or_default().push(stream.try_clone()?);
        Ok(())
    }

    fn close(&self, id: u64) {
        close(lock(&self.open).remove(&id).unwrap_or_default());
    }

    fn close_all(&self) {
        close(std::mem::take(&mut *lock(&self.open)).into_values().flatten());
    }
}

fn close(streams: impl IntoIterator<Item = TcpStream>) {
    for stream in streams {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
