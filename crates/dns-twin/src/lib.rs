//! A simulated PowerDNS: the part of its HTTP API that programs which publish records use, from memory.
//!
//! Shares no code with gantry's client; it is held against a real PowerDNS by `crates/dns/tests/it/twin.rs`, which
//! sends both the same requests. Trouble is state: answers get lost, the server fails or is down. It answers no DNS.

mod api;
mod zone;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use zone::Set;
use zone::Zone;

/// Largest request body, as PowerDNS' own `webserver-max-bodysize` (2 MB).
const BODY_MAX: usize = 2 * 1024 * 1024;

/// Everything the server knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) key: String,
    pub(crate) zones: Vec<Zone>,
    /// Every write that was carried out, as `PATCH lab.example.`.
    pub(crate) writes: Vec<String>,
    lose_answers: u32,
    fail: bool,
    silent: bool,
    /// Calls that came while it was silent.
    waiting: u32,
}

/// A running twin on a port of 127.0.0.1. Ends when it is dropped.
pub struct DnsTwin {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    door: Mutex<Option<JoinHandle<()>>>,
}

impl DnsTwin {
    /// Starts it without zones.
    pub async fn start(key: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State { key: key.to_owned(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let door = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, door: Mutex::new(Some(door)) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a zone with SOA and NS, as POST does. Names end with a dot everywhere here.
    pub fn has_zone(&self, name: &str) {
        self.state().zones.push(Zone::new(name, "Native", &["ns1.twin.example.".to_owned()]));
    }

    /// Puts a set of records of somebody else into its zone; a set of the same name and kind is replaced.
    pub fn has(&self, name: &str, kind: &str, ttl: u32, contents: &[&str]) {
        let records = contents.iter().map(|c| ((*c).to_owned(), false)).collect();
        let set = Set { name: name.to_owned(), kind: kind.to_owned(), ttl, records };
        let mut state = self.state();
        if let Some(zone) = state.zones.iter_mut().find(|z| z.holds(name)) {
            zone.put(set);
        }
    }

    /// From now on takes this key only.
    pub fn takes_key(&self, key: &str) {
        self.state().key = key.to_owned();
    }

    /// Somebody deletes a set of records.
    pub fn loses(&self, name: &str, kind: &str) {
        let mut state = self.state();
        if let Some(zone) = state.zones.iter_mut().find(|z| z.holds(name)) {
            zone.sets.retain(|s| s.name != name || s.kind != kind);
        }
    }

    /// Where a page reads every record but SOA and NS, without a key: `GET` gives `[{name, kind, ttl, content}]`.
    pub fn control_url(&self) -> String {
        format!("{}/control/records", self.url())
    }

    /// Every record but SOA and NS, sorted: `web-0.nginx.lab.example. 30 A 10.0.0.5`.
    pub fn records(&self) -> Vec<String> {
        let state = self.state();
        let sets = state.zones.iter().flat_map(|z| &z.sets);
        let plain = sets.filter(|s| s.kind != "SOA" && s.kind != "NS");
        let mut lines: Vec<String> = plain
            .flat_map(|s| {
                s.records.iter().map(|(c, _)| format!("{} {} {} {c}", s.name, s.ttl, s.kind))
            })
            .collect();
        lines.sort();
        lines
    }

    /// Every write that was carried out so far.
    pub fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// Carries the next `count` writes out and closes the connection instead of answering.
    pub fn loses_answers(&self, count: u32) {
        self.state().lose_answers = count;
    }

    /// Answers every call with 500, or no longer.
    pub fn fails(&self, fails: bool) {
        self.state().fail = fails;
    }

    /// Takes every call and answers none, or no longer. Calls that came meanwhile stay unanswered.
    pub fn goes_silent(&self, silent: bool) {
        let mut state = self.state();
        (state.silent, state.waiting) = (silent, 0);
    }

    /// How many calls have come since it went silent.
    pub fn waiting(&self) -> u32 {
        self.state().waiting
    }

    /// Refuses connections until [`DnsTwin::comes_back`].
    pub async fn goes_down(&self) {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(door) = door {
            door.abort();
            // Its end means that the port is closed.
            let _ = door.await;
        }
    }

    /// Listens again at the same address, with everything it knew.
    pub async fn comes_back(&self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let door = tokio::spawn(serve(listener, Arc::clone(&self.state)));
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for DnsTwin {
    fn drop(&mut self) {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(door) = door {
            door.abort();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |r| answer(r, Arc::clone(&state)));
            // PowerDNS closes after every answer. An error is a client that went away, or an answer lost on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Closes the connection without an answer.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost on purpose")
    }
}

impl std::error::Error for Lost {}

impl From<Infallible> for Lost {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| Lost)?.to_bytes();
    let silent = {
        let mut state = lock(&state);
        state.waiting += u32::from(state.silent);
        state.silent
    };
    if silent {
        std::future::pending::<()>().await;
    }
    let mut state = lock(&state);
    if head.method == Method::GET && head.uri.path() == "/control/records" {
        return Ok(api::records(&state));
    }
    if state.fail {
        return Ok(api::plain(500, "Internal Server Error"));
    }
    let query = head.uri.query().unwrap_or("");
    let given = head.headers.get("x-api-key").and_then(|k| k.to_str().ok());
    let answer = api::route(&mut state, &head.method, head.uri.path(), query, given, &body);
    if head.method != Method::GET && answer.status().is_success() && state.lose_answers > 0 {
        state.lose_answers -= 1;
        return Err(Lost);
    }
    Ok(answer)
}
