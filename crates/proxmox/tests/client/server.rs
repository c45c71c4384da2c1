//! A small HTTPS server that can misbehave on the byte level. It knows nothing of Proxmox: a test says what it answers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_proxmox::{ClusterConfig, Fingerprint, Tls, Tuning};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// The token's secret in every test; must never be found in any output.
pub const SECRET: &str = "c0ffee00-dead-4bad-beef-0123456789ab";
pub const TOKEN_ID: &str = "gantry@pve!bot";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub head: String,
    pub body: String,
    pub connection: usize,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this body.
    Json(String),
    /// Any status line and body.
    Status(u16, &'static str, String),
    /// The connection is cut after the request was read (and "carried out").
    Cut,
    /// Nothing, ever.
    Silence,
    /// A head that promises more than comes.
    Truncated,
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// After this pause.
    Later(Duration, Box<Reply>),
}

pub fn json(data: &str) -> Reply {
    Reply::Json(format!(r#"{{"data":{data}}}"#))
}

/// A certificate authority as a cluster has one.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

pub struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    per_connection: usize,
    silent: AtomicBool,
    changed: Notify,
}

pub struct Server {
    pub port: u16,
    pub fingerprint: Fingerprint,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(ca: &Ca, handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(ca, usize::MAX, handler).await
    }

    /// `per_connection`: requests after which a connection is closed, the last answer saying so.
    pub async fn start_with(
        ca: &Ca,
        per_connection: usize,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let cert = CertificateParams::new(names).unwrap().signed_by(&key, &ca.0).unwrap();
        let der = cert.der().clone();
        let fingerprint = Fingerprint::of(&der);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![der],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            per_connection,
            silent: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let state = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                all.spawn(serve(socket, acceptor.clone(), Arc::clone(&state)));
            }
        });
        Self { port, fingerprint, shared, task }
    }

    pub fn url(&self) -> url::Url {
        format!("https://127.0.0.1:{}", self.port).parse().unwrap()
    }
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
    /// Accepts connections, but says nothing any more.
    pub fn silence(&self, on: bool) {
        self.shared.silent.store(on, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    async fn while_silent(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.silent.load(Ordering::SeqCst) {
                return;
            }
            changed.await;
        }
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    shared.while_silent().await;
    let Ok(mut stream) = acceptor.accept(socket).await else { return };
    for n in 1.. {
        let Some(seen) = read(&mut stream, number).await else { break };
        shared.while_silent().await;
        shared.seen.lock().unwrap().push(seen.clone());
        let mut reply = (shared.handler)(&seen);
        if let Reply::Later(pause, then) = reply {
            tokio::time::sleep(pause).await;
            reply = *then;
        }
        let (status, reason, body) = match reply {
            Reply::Json(body) => (200, "OK", body),
            Reply::Status(status, reason, body) => (status, reason, body),
            Reply::Cut | Reply::Later(..) => return,
            Reply::Silence => std::future::pending().await,
            Reply::Truncated => {
                let part = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":\"UPID:pve";
                let _ = stream.write_all(part).await;
                let _ = stream.flush().await;
                return;
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
        };
        // As pveproxy: every error and the last answer of a connection close it.
        let close = status >= 400 || n >= shared.per_connection;
        let connection = if close { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\n\
             Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            break;
        }
        let _ = stream.flush().await;
        if close {
            break;
        }
    }
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|l| l.to_lowercase().strip_prefix("content-length:").map(|v| v.trim().to_owned()))
        .map_or(0, |v| v.parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    Some(Seen {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        body: String::from_utf8_lossy(&bytes[end..end + length]).into_owned(),
        head,
        connection,
    })
}

/// A cluster of these servers, trusted by their CA, without a rate limit.
pub fn config(ca: &Ca, servers: &[&Server]) -> ClusterConfig {
    let urls = servers.iter().map(|s| s.url()).collect();
    let secret = Secret::new(SECRET.to_owned());
    let mut config = ClusterConfig::new("lab".parse().unwrap(), urls, TOKEN_ID, secret);
    config.tls = Tls::CaPem(ca.pem());
    config.tuning = Tuning {
        per_second: 1_000_000,
        burst: 1_000_000,
        connect_timeout: Duration::from_millis(400),
        read_timeout: Duration::from_millis(800),
        read_total: Duration::from_secs(4),
        write_timeout: Duration::from_millis(1_000),
        retry_pause: Duration::from_millis(5),
        ..Tuning::default()
    };
    config
}
