//! A TCP line between gantry and a name server that counts writes, and can cut after one: the server has carried it
//! out, and its answer is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Deed = Box<dyn FnOnce() + Send>;

/// What the line knows and does.
#[derive(Default)]
pub struct State {
    writes: AtomicU32,
    cut: AtomicBool,
    before: Mutex<Option<Deed>>,
    after: Mutex<Option<Deed>>,
}

/// A listening line. Ends with the test's runtime.
pub struct Line {
    pub port: u16,
    state: Arc<State>,
}

impl Line {
    /// Forwards to a port of 127.0.0.1.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, port, Arc::clone(&shared)));
            }
        });
        Self { port: here, state }
    }

    /// Writes that went through so far.
    pub fn writes(&self) -> u32 {
        self.state.writes.load(Ordering::SeqCst)
    }

    /// The answer to the next write is lost.
    pub fn loses_the_next_answer(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
    }

    /// Somebody does something after gantry has read and before its next write arrives.
    pub fn before_the_next_write(&self, deed: impl FnOnce() + Send + 'static) {
        *self.state.before.lock().unwrap() = Some(Box::new(deed));
    }

    /// Something happens when the server has answered the next write, before gantry sees the answer.
    pub fn after_the_next_write(&self, deed: impl FnOnce() + Send + 'static) {
        *self.state.after.lock().unwrap() = Some(Box::new(deed));
    }
}

async fn forward(mut client: TcpStream, port: u16, state: Arc<State>) {
    let server: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let mut request = vec![0; 1 << 20];
    let mut length = 0;
    // A request is whole when its length says so; 64 KiB of DNS and the twin's bodies fit.
    while !is_whole(&request[..length]) {
        match client.read(&mut request[length..]).await {
            Ok(0) | Err(_) => return,
            Ok(n) => length += n,
        }
    }
    let request = &request[..length];
    let write = is_write(request);
    if write {
        state.writes.fetch_add(1, Ordering::SeqCst);
        if let Some(deed) = state.before.lock().unwrap().take() {
            deed();
        }
    }
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    if upstream.write_all(request).await.is_err() {
        return;
    }
    let mut answer = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match upstream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
        }
        if is_http(request) {
            continue;
        } // PowerDNS closes
        if is_whole(&answer) {
            break;
        }
    }
    if write {
        if let Some(deed) = state.after.lock().unwrap().take() {
            deed();
            return;
        }
        if state.cut.swap(false, Ordering::SeqCst) {
            return;
        }
    }
    let _ = client.write_all(&answer).await;
}

fn is_http(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GET ") || bytes.starts_with(b"PATCH ") || bytes.starts_with(b"HTTP/")
}

fn is_whole(bytes: &[u8]) -> bool {
    if !is_http(bytes) {
        return bytes.len() >= 2
            && bytes.len() >= 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    }
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .filter_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .next()
        .unwrap_or(0);
    body.len() >= length
}

/// PATCH, or opcode 5 with something to update.
fn is_write(request: &[u8]) -> bool {
    if is_http(request) {
        return request.starts_with(b"PATCH ");
    }
    let updates = request.get(10..12) != Some(&[0, 0]);
    request.get(4).is_some_and(|flags| (flags >> 3) & 15 == 5) && updates
}
