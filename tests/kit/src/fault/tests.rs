use std::io::{Read, Write};
use std::time::Instant;

use super::*;
use crate::Client;

const BODY: usize = 100_000;

/// Answers `/N` with N bytes and `/chunked/N` with N bytes in chunks, and keeps connections.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(&mut stream.expect("a connection")));
        }
    });
    address
}

fn answer(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
        if request.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut request)).ok()?;
            let path = text.split(' ').nth(1)?;
            let count: usize = path.rsplit('/').next()?.parse().ok()?;
            let body = vec![b'a'; count];
            if path.starts_with("/chunked/") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                for chunk in body.chunks(1000) {
                    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).ok()?;
                    stream.write_all(chunk).ok()?;
                    stream.write_all(b"\r\n").ok()?;
                }
                stream.write_all(b"0\r\n\r\n").ok()?;
            } else {
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n").as_bytes()).ok()?;
                stream.write_all(&body).ok()?;
            }
        }
    }
}

fn started() -> (FaultProxy, Client) {
    let proxy = FaultProxy::start(upstream());
    let client = Client::new(proxy.address());
    (proxy, client)
}

/// An error, or the length of the body.
fn try_get(client: &mut Client, path: &str) -> io::Result<usize> {
    client.try_request("GET", path, &[], b"").map(|reply| reply.body.len())
}

#[test]
fn bytes_pass_and_are_counted() {
    let (proxy, mut client) = started();
    assert_eq!(client.get(&format!("/{BODY}")).body, vec![b'a'; BODY]);
    assert_eq!(client.get(&format!("/chunked/{BODY}")).body, vec![b'a'; BODY]);
    assert_eq!((proxy.connections(), proxy.requests()), (1, 2));
    assert!(proxy.bytes() > 2 * BODY as u64);
}

#[test]
fn refused_connections_are_closed_open_ones_too() {
    let (proxy, mut client) = started();
    client.get("/1");
    proxy.set(Mode::Refuse);
    assert!(try_get(&mut client, "/1").is_err(), "the one that was open");
    client.hang_up();
    assert!(try_get(&mut client, "/1").is_err(), "a new one");
    client.hang_up();
    proxy.set(Mode::Pass);
    assert_eq!(client.get("/1").body, b"a");
}

#[test]
fn a_stall_holds_answers_until_it_ends() {
    let (proxy, mut client) = started();
    client.get("/1");
    proxy.set(Mode::Stall);
    client.send(b"GET /2 HTTP/1.1\r\n\r\n").expect("sent");
    let stream = client.connect().expect("open");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    assert!(stream.peek(&mut [0]).is_err(), "nothing comes");
    stream.set_read_timeout(None).expect("set");
    proxy.set(Mode::Pass);
    let reply = client.receive().expect("an answer").expect("an answer");
    assert_eq!(reply.body, b"aa");
}

#[test]
fn every_answer_is_late() {
    let (proxy, mut client) = started();
    proxy.set(Mode::Delay(Duration::from_millis(200)));
    for _ in 0..2 {
        let began = Instant::now();
        client.get(&format!("/{BODY}"));
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }
}

#[test]
fn answers_are_cut() {
    let (proxy, mut client) = started();
    client.get(&format!("/{BODY}"));
    let before = proxy.bytes();
    proxy.set(Mode::CutAfter(5000));
    assert!(try_get(&mut client, &format!("/{BODY}")).is_err());
    assert_eq!(proxy.bytes() - before, 5000);
    assert_eq!(try_get(&mut client, "/10").ok(), Some(10), "a short one on a new connection");
    assert!(try_get(&mut client, "/chunked/5000").is_err());
}

#[test]
fn answers_are_throttled() {
    let (proxy, mut client) = started();
    proxy.set(Mode::Throttle(100_000));
    let began = Instant::now();
    client.get("/50000");
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[test]
fn requests_are_answered_instead_of_the_upstream() {
    let (proxy, mut client) = started();
    client.get("/1");
    proxy.set(Mode::answer(500, "text/plain", "no"));
    for _ in 0..2 {
        let reply = client.request("POST", "/1", &[], &vec![b'x'; 100_000]);
        assert_eq!((reply.status, reply.text(), reply.closes()), (500, "no", true));
    }
}

#[test]
fn a_bit_of_long_bodies_is_flipped() {
    let (proxy, mut client) = started();
    proxy.set(Mode::FlipByte { after: 4321 });
    for path in ["/10000", "/chunked/10000"] {
        let body = client.get(path).body;
        let flipped: Vec<usize> = (0..body.len()).filter(|at| body[*at] != b'a').collect();
        assert_eq!((flipped, body.len()), (vec![4321], 10_000), "{path}");
    }
    assert_eq!(client.get("/4321").body, vec![b'a'; 4321]);
}

#[test]
fn some_requests_are_troubled_and_others_are_not() {
    let (proxy, mut client) = started();
    proxy.set_for("GET /2 ", Mode::answer(403, "text/plain", "no"));
    assert_eq!(client.get("/1").status, 200);
    assert_eq!(client.get("/2").status, 403);
    assert_eq!(client.get("/22").status, 200);
    proxy.set_for("GET /2 ", Mode::Refuse);
    assert_eq!(client.get("/1").status, 200);
    assert!(try_get(&mut client, "/2").is_err());
}

#[test]
fn an_upstream_that_is_away_closes_connections() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let proxy = FaultProxy::start(address);
    assert!(try_get(&mut Client::new(proxy.address()), "/1").is_err());
}
