//! One connection: what comes and goes on it, and what is done to that.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Request, Response};
use super::{Mode, Rule, Shared, lock};

/// One connection of a client, and the one to the upstream that its first request opens.
pub(super) struct Connection {
    shared: Arc<Shared>,
    id: u64,
    /// The answer that is on its way, and the first line of its request.
    answer: Mutex<(String, Response)>,
    closed: AtomicBool,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Arc<Self> {
        Arc::new(Self { shared, id, answer: Mutex::default(), closed: AtomicBool::new(false) })
    }

    /// Forwards until one side ends it.
    pub(super) fn serve(self: Arc<Self>, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        self.shared.keep(self.id, client)?;
        let done = self.requests(client);
        self.closed.store(true, Ordering::SeqCst);
        if !matches!(done, Ok(true)) {
            self.shared.close(self.id);
        }
        done.map(drop)
    }

    /// Forwards requests. True when the client has said that there are no more, and may wait for an answer.
    fn requests(self: &Arc<Self>, mut client: &TcpStream) -> io::Result<bool> {
        let mut upstream: Option<TcpStream> = None;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = client.read(&mut buffer)?;
            let bytes = &buffer[..count];
            if count == 0 {
                let Some(upstream) = upstream else { return Ok(false) };
                upstream.shutdown(Shutdown::Write)?;
                return Ok(true);
            }
            self.begin(bytes);
            let mode = loop {
                match self.rule().mode {
                    Mode::Stall if self.hung_up(client)? => return Ok(false),
                    Mode::Stall => {}
                    mode => break mode,
                }
            };
            match mode {
                Mode::Refuse => return Ok(false),
                Mode::Answer(answer) => {
                    client.set_read_timeout(Some(Duration::from_secs(1)))?;
                    Request::new(bytes).read_rest(client)?;
                    client.write_all(&answer)?;
                    client.shutdown(Shutdown::Write)?;
                    // What else comes is taken, since closing with unread bytes would tear the answer.
                    while client.read(&mut buffer)? > 0 {}
                    return Ok(false);
                }
                _ => {}
            }
            let mut upstream = match &upstream {
                Some(upstream) => upstream,
                None => upstream.insert(self.connect(client)?),
            };
            upstream.write_all(bytes)?;
        }
    }

    /// Opens the other half, and forwards what comes from there.
    fn connect(self: &Arc<Self>, client: &TcpStream) -> io::Result<TcpStream> {
        let upstream = TcpStream::connect(self.shared.upstream)?;
        upstream.set_nodelay(true)?;
        self.shared.keep(self.id, &upstream)?;
        let (connection, from, to) = (self.clone(), upstream.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            // Either end may break.
            let _ = connection.answers(from, to);
            connection.shared.close(connection.id);
        });
        Ok(upstream)
    }

    /// Bytes that come after an answer has begun are the next request.
    fn begin(&self, bytes: &[u8]) {
        let mut answer = lock(&self.answer);
        if answer.0.is_empty() || answer.1.has_begun() {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            *answer = (String::from_utf8_lossy(line).into_owned(), Response::default());
            self.shared.requests.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn rule(&self) -> Rule {
        self.shared.rule_for(&lock(&self.answer).0)
    }

    /// Waits for a moment, and says whether the client has gone meanwhile.
    fn hung_up(&self, client: &TcpStream) -> io::Result<bool> {
        thread::sleep(Duration::from_millis(2));
        client.set_nonblocking(true)?;
        let gone = matches!(client.peek(&mut [0]), Ok(0));
        client.set_nonblocking(false)?;
        Ok(gone || self.shared.stopped.load(Ordering::SeqCst))
    }

    fn answers(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 14];
        // Bytes since the last change.
        let (mut change, mut sent) = (0, 0);
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let mode = self.rule().mode;
            let flip = if let Mode::FlipByte { after } = mode { Some(after) } else { None };
            let first = lock(&self.answer).1.read(&mut buffer[..count], flip);
            if let (true, Mode::Delay(delay)) = (first, mode) {
                self.hold(delay);
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let rule = self.rule();
                if rule.change != change {
                    (change, sent) = (rule.change, 0);
                }
                let (most, pause) = match rule.mode {
                    Mode::Refuse => return Ok(()),
                    Mode::Stall if self.closed.load(Ordering::SeqCst) => return Ok(()),
                    Mode::Stall => (0, Duration::from_millis(5)),
                    Mode::CutAfter(bytes) if bytes <= sent => return Ok(()),
                    Mode::CutAfter(bytes) => (bytes - sent, Duration::ZERO),
                    Mode::Throttle(rate) => {
                        let piece = (rate / 50).max(1);
                        (piece, Duration::from_millis(1000 * piece / rate.max(1)))
                    }
                    _ => (u64::MAX, Duration::ZERO),
                };
                let (now, later) = rest.split_at(rest.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
                // Counted first: who has them sees them counted.
                self.shared.bytes.fetch_add(now.len() as u64, Ordering::SeqCst);
                to.write_all(now)?;
                sent += now.len() as u64;
                if matches!(rule.mode, Mode::CutAfter(bytes) if bytes <= sent) {
                    return Ok(());
                }
                rest = later;
                thread::sleep(pause);
            }
        }
    }

    /// Waits, until something changes.
    fn hold(&self, delay: Duration) {
        let (began, change) = (Instant::now(), self.rule().change);
        while began.elapsed() < delay && self.rule().change == change && !self.closed.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2).min(delay));
        }
    }
}
