//! A receiver of notifications: an HTTP server that keeps what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use perch_testkit::wait;
use serde_json::Value;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub path: String,
    pub key: String,
    pub body: Value,
}

/// It ends when it is dropped; another one may take its address over.
pub struct Receiver {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    status: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"))
    }

    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("bound");
        let address = listener.local_addr().expect("bound");
        let (told, stop) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::<AtomicBool>::default());
        let status = Arc::new(AtomicU16::new(200));
        let (keeps, stops, answers) = (told.clone(), stop.clone(), status.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::SeqCst) {
                    return;
                }
                let (keeps, answers) = (keeps.clone(), answers.clone());
                // Its sender may be killed at any time: then there is no message.
                std::thread::spawn(move || stream.ok().and_then(|stream| serve(stream, &keeps, &answers)));
            }
        });
        Self { address, told, status, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers with this status from here on; what is not 200 is not kept.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no thread panics with it").clone()
    }

    /// Waits until it was told so much at this path.
    pub fn wait(&self, path: &str, count: usize) -> Vec<Told> {
        wait::until_ok("messages", || {
            let told: Vec<Told> = self.told().into_iter().filter(|told| told.path == path).collect();
            if told.len() >= count { Ok(told) } else { Err(format!("{told:?}")) }
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It waits for somebody to come.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, keeps: &Mutex<Vec<Told>>, answers: &AtomicU16) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let (mut length, mut key) = (0, String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "idempotency-key" => value.clone_into(&mut key),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let status = answers.load(Ordering::SeqCst);
        if status == 200 {
            let body = serde_json::from_slice(&body).expect("messages are JSON");
            keeps.lock().expect("no thread panics with it").push(Told { path, key, body });
        }
        write!(stream.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}
