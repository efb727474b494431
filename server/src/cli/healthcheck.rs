//! `perch healthcheck`: asks a running server whether it is ready. Plain HTTP/1.1 over a socket: an image without a
//! shell has nothing else to ask with.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

use super::{Failure, Outcome};

/// Exit 0 when a running server is ready.
#[derive(Args)]
pub(super) struct Healthcheck {
    /// The server.
    #[arg(long, env = "PERCH_SERVER", default_value = "http://127.0.0.1:8000")]
    server: String,
    /// live, ready or all.
    #[arg(long, default_value = "ready")]
    probe: String,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 2)]
    timeout: u64,
}

pub(super) fn run(command: &Healthcheck) -> Outcome {
    let host = command.server.strip_prefix("http://").unwrap_or(&command.server).trim_end_matches('/');
    let timeout = Duration::from_secs(command.timeout.max(1));
    let answer = ask(host, &command.probe, timeout).map_err(|error| Failure::Failed(format!("{host}: {error}")))?;
    let status = answer.lines().next().unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    if status.split(' ').nth(1) == Some("200") {
        println!("{body}");
        Ok(())
    } else {
        Err(Failure::Failed(format!("{host}: {status}: {body}")))
    }
}

fn ask(host: &str, probe: &str, timeout: Duration) -> std::io::Result<String> {
    let unknown = || std::io::Error::other("the address has no port or is unknown");
    let address = host.to_socket_addrs()?.next().ok_or_else(unknown)?;
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET /health/{probe} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // A server that never stops answering is not healthy either.
    stream.take(1 << 20).read_to_string(&mut answer)?;
    Ok(answer)
}
