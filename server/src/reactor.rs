//! One thread a core, each with a runtime of its own: connections stay where they were put, so that their requests
//! merge in one open batch and run on one session without a lock or a hand-off.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::idle::CoarseTimer;
use crate::layers::Stack;
use crate::lifecycle::Lifecycle;
use crate::rollouts::live::slots;
use crate::serving::Serving;

/// What a connection that was made as we stopped listening has for its first request to arrive.
const LAST_WORD: Duration = Duration::from_millis(250);

/// A handler's place: which reactor it runs on, and what it serves with.
#[derive(Clone)]
pub struct Seat {
    /// The reactor's number.
    pub reactor: usize,
    /// What it serves with.
    pub serving: Arc<Serving>,
    /// How it is set up.
    pub config: Arc<Config>,
}

/// A connection on its way to a reactor.
pub struct Accepted {
    /// The socket.
    pub stream: TcpStream,
    /// Its place.
    pub place: Place,
}

/// One of `server.maxConnections` places, held while a connection lives.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl Place {
    /// Takes the place that `permit` stands for, and counts it.
    #[must_use]
    pub fn new(permit: OwnedSemaphorePermit, gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self { _permit: permit, gauge }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// What a reactor is started with.
pub struct ReactorOptions {
    /// Answers requests.
    pub stack: Arc<Stack>,
    /// Knows about shutdown.
    pub lifecycle: Arc<Lifecycle>,
    /// Cancelled when the process is done with it.
    pub finished: CancellationToken,
    /// How long a connection may wait for a complete request head.
    pub idle_timeout: Duration,
}

/// A running reactor, from outside.
pub struct Reactor {
    connections: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Reactor {
    /// Starts the thread of reactor `number`.
    ///
    /// # Errors
    /// When the system refuses a thread or a runtime.
    pub fn start(number: usize, options: ReactorOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (connections, accepted) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let counter = open.clone();
        let thread = thread::Builder::new().name(format!("perch-reactor-{number}")).spawn(move || {
            slots::own(number);
            runtime.block_on(run(options, accepted, counter));
        })?;
        Ok(Self { connections, open, thread })
    }

    /// Connections it has.
    #[must_use]
    pub fn load(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Hands a connection over.
    pub fn give(&self, connection: Accepted) {
        self.open.fetch_add(1, Ordering::Relaxed);
        // It only ever fails when the process is ending.
        let _ = self.connections.send(connection);
    }

    /// Waits for the thread's end.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

async fn run(options: ReactorOptions, mut accepted: mpsc::UnboundedReceiver<Accepted>, open: Arc<AtomicUsize>) {
    let mut http1 = http1::Builder::new();
    // Head and body in one buffer: for small answers one write of it is cheaper than a vectored one.
    http1.timer(CoarseTimer).header_read_timeout(options.idle_timeout).writev(false);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2.timer(TokioTimer::new()).keep_alive_interval(options.idle_timeout);
    let (lifecycle, idle_timeout) = (options.lifecycle.clone(), options.idle_timeout);
    let protocols = Arc::new(Protocols { http1, http2, idle_timeout, lifecycle });
    loop {
        let connection = tokio::select! {
            () = options.finished.cancelled() => return,
            Some(connection) = accepted.recv() => connection,
        };
        let (stack, protocols, open) = (options.stack.clone(), protocols.clone(), open.clone());
        options.lifecycle.spawn(async move {
            if let Err(error) = protocols.serve(connection, stack).await {
                tracing::debug!(error, "a connection ended");
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// The two protocols of a connection.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    idle_timeout: Duration,
    lifecycle: Arc<Lifecycle>,
}

impl Protocols {
    /// Serves one connection until it closes; at shutdown, until its request is answered.
    async fn serve(&self, connection: Accepted, stack: Arc<Stack>) -> Result<(), String> {
        let Accepted { stream, place: _place } = connection;
        let set_up = |error: io::Error| error.to_string();
        stream.set_nonblocking(true).map_err(set_up)?;
        stream.set_nodelay(true).map_err(set_up)?;
        let stream = tokio::net::TcpStream::from_std(stream).map_err(set_up)?;
        let is_http2 = tokio::select! {
            biased;
            begun = tokio::time::timeout(self.idle_timeout, is_http2(&stream)) => match begun {
                Ok(begun) => begun.map_err(set_up)?,
                Err(_) => return Ok(()),
            },
            () = async {
                self.lifecycle.stopping().cancelled().await;
                tokio::time::sleep(LAST_WORD).await;
            } => return Ok(()),
        };
        let io = TokioIo::new(stream);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = asked.clone();
            move |request| {
                asked.store(true, Ordering::Relaxed);
                stack.clone().dispatch(request)
            }
        });
        if is_http2 {
            self.drive(self.http2.serve_connection(io, service), &asked).await
        } else {
            self.drive(self.http1.serve_connection(io, service), &asked).await
        }
    }

    async fn drive<C>(&self, connection: C, asked: &AtomicBool) -> Result<(), String>
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut connection = pin!(connection);
        let mut stopping = pin!(self.lifecycle.stopping().cancelled());
        let mut look = tokio::time::interval(CoarseTimer::interval(self.idle_timeout));
        let mut listening = false;
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // The token takes a lock when it is polled, and this is several times a request. It wakes this very task,
                // so that once is enough.
                let listens = std::mem::replace(&mut listening, true);
                let stopped =
                    if listens { self.lifecycle.is_stopping() } else { stopping.as_mut().poll(cx).is_ready() };
                if stopped {
                    return Poll::Ready(None);
                }
                // After a tick the connection is polled again, and sees whether it has been idle for too long.
                ready!(look.poll_tick(cx));
            }
        });
        if let Some(ended) = ended.await {
            return ended.map_err(|error| error.to_string());
        }
        // A connection of the last moment: hyper would hang up without reading its first request, whose answer closes it.
        let grace = if asked.load(Ordering::Relaxed) { Duration::ZERO } else { LAST_WORD };
        let ended = match tokio::time::timeout(grace, connection.as_mut()).await {
            Ok(ended) => ended,
            Err(_) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(|error| error.to_string())
    }
}

/// Waits until the first bytes tell the protocol: only HTTP/2 begins with its preface.
async fn is_http2(stream: &tokio::net::TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut start).await?;
        if count == 0 || !PREFACE.starts_with(&start[..count]) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // Part of the preface: peek() would give it again at once.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
