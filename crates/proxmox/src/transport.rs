//! One request through one endpoint: connections, the token, deadlines, the size of the answer.
//!
//! Reads share kept-alive connections. Writes never do: each has a connection of its own (cheap by TLS
//! resumption), so an error can only mean "no connection, nothing sent" or "the answer is lost", never a
//! connection that the server had closed in silence. Redirects are never followed, so the token stays here.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Extensions, Method};
use secrecy::{ExposeSecret, Secret};
use url::Url;

use crate::config::{ClusterConfig, Tuning, endpoint_name};
use crate::error::Error;
use crate::form::Form;
use crate::meter::Meter;
use crate::path::Path;
use crate::tls;
use crate::upload::Feed;

/// pveproxy refuses larger bodies with 501.
const REQUEST_BODY_MAX: usize = 512 * 1024;

/// One call as it goes out.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: Path,
    pub(crate) query: Form,
    pub(crate) body: Form,
    pub(crate) deadline: Duration,
    /// A file that goes with the body, for the one call that takes one.
    pub(crate) file: Option<Arc<Feed>>,
}

impl Call {
    /// A call that only looks.
    pub(crate) fn get(path: Path, deadline: Duration) -> Self {
        let (query, body) = (Form::new(), Form::new());
        Self { method: Method::GET, path, query, body, deadline, file: None }
    }

    /// A call that changes something.
    pub(crate) fn write(method: Method, path: Path, deadline: Duration) -> Self {
        Self { method, ..Self::get(path, deadline) }
    }

    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() {
            return self.path.as_str().to_owned();
        }
        format!("{}?{}", self.path.as_str(), self.query.encode())
    }

    /// Method and path template, for logs and errors.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path.template())
    }
}

/// Status, reason phrase and body, whatever the status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
}

/// No answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// It was silence, not a refusal or a cut.
    pub(crate) timeout: bool,
}

/// One endpoint with its connections.
pub(crate) struct Endpoint {
    base: String,
    name: String,
    reads: reqwest::Client,
    writes: reqwest::Client,
    body_limit: usize,
    meter: Arc<Meter>,
}

/// Makes the endpoints of a cluster; they share one TLS configuration and its session cache.
pub(crate) fn endpoints(
    config: &ClusterConfig,
    meter: &Arc<Meter>,
) -> Result<Vec<Endpoint>, Error> {
    let tls = config.tls.client_config()?;
    let token = token_header(&config.token_id, &config.token_secret)?;
    let headers: HeaderMap = [(AUTHORIZATION, token)].into_iter().collect();
    let proxy = match &config.proxy {
        Some(url) => Some(reqwest::Proxy::all(url.clone()).map_err(|_| Error::Config {
            why: "the proxy must be an http:// or https:// address".to_owned(),
        })?),
        None => None,
    };
    let tuning = &config.tuning;
    let client = |idle_connections: usize| {
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(tls.clone())
            .https_only(true)
            .default_headers(headers.clone())
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .gzip(tuning.gzip)
            .connect_timeout(tuning.connect_timeout)
            .pool_idle_timeout(tuning.pool_idle)
            .pool_max_idle_per_host(idle_connections)
            .tcp_nodelay(true);
        if let Some(proxy) = &proxy {
            builder = builder.proxy(proxy.clone());
        }
        builder.build().map_err(|e| Error::Config { why: format!("HTTP cannot be set up: {e}") })
    };
    let (reads, writes) = (client(tuning.in_flight)?, client(0)?);
    let endpoint = |url: &Url| Endpoint {
        base: format!("{}/api2/json", url.as_str().trim_end_matches('/')),
        name: endpoint_name(url),
        reads: reads.clone(),
        writes: writes.clone(),
        body_limit: tuning.body_limit,
        meter: Arc::clone(meter),
    };
    Ok(config.endpoints.iter().map(endpoint).collect())
}

fn token_header(id: &str, secret: &Secret<String>) -> Result<HeaderValue, Error> {
    let secret = secret.expose_secret();
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == ';';
    let bad = || Error::Config { why: "the token's secret is empty or has odd characters".into() };
    if secret.is_empty() || secret.contains(odd) {
        return Err(bad());
    }
    let mut value =
        HeaderValue::try_from(format!("PVEAPIToken={id}={secret}")).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok(value)
}

impl Endpoint {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends once. Never repeats, whatever happens.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let started = Instant::now();
        let result = self.exchange(call).await;
        let took = started.elapsed();
        self.meter.count(call.is_write(), &result, took);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (method, path) = (&call.method, call.path.template());
        match &result {
            Ok(answer) => tracing::debug!(
                endpoint = self.name, %method, path, status = answer.status, ms, "answered"
            ),
            Err(failure) => tracing::debug!(
                endpoint = self.name, %method, path, ms, error = %failure.error, "no answer"
            ),
        }
        result
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, Failure> {
        let refused = |error| Failure { error, timeout: false };
        let url = Url::parse(&format!("{}{}", self.base, call.target()))
            .map_err(|_| refused(Error::Config { why: "an endpoint is not an address".into() }))?;
        let client = if call.is_write() { &self.writes } else { &self.reads };
        let mut request = client.request(call.method.clone(), url).timeout(call.deadline);
        if let Some(file) = &call.file {
            request = request.multipart(file.form(&call.body));
        } else if call.method == Method::POST || call.method == Method::PUT {
            let body = call.body.encode();
            if body.len() > REQUEST_BODY_MAX {
                let why = format!("together larger than {REQUEST_BODY_MAX} bytes");
                return Err(refused(Error::refused("parameters", why)));
            }
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let lost = |e: reqwest::Error| match call.file.as_ref().and_then(|f| f.broken()) {
            // We broke it off ourselves: the endpoint did nothing wrong, and nothing.
            Some(why) => refused(Error::Broken { why }),
            None => self.failure(&e, call),
        };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let reason = reason_phrase(response.extensions())
            .or_else(|| response.status().canonical_reason().map(str::to_owned))
            .unwrap_or_default();
        let too_large = || Failure {
            error: Error::TooLarge { limit: self.body_limit, write: call.is_write() },
            timeout: false,
        };
        let expected = response.content_length().unwrap_or(0);
        let expected = usize::try_from(expected).map_err(|_| too_large())?;
        if expected > self.body_limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(expected);
        // Counted after decompression, so that a small compressed answer cannot become a large one.
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > self.body_limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, reason, body })
    }

    fn failure(&self, error: &reqwest::Error, call: &Call) -> Failure {
        let endpoint = self.name.clone();
        let timeout = error.is_timeout();
        if error.is_builder() {
            let why = "the request could not be built".to_owned();
            return Failure { error: Error::Config { why }, timeout: false };
        }
        if error.is_connect() {
            if let Some(problem) = tls_problem(error) {
                return Failure { error: Error::Tls { endpoint, problem }, timeout: false };
            }
            let why = cause(error, timeout, "connection timed out".to_owned());
            return Failure { error: Error::Unreachable { endpoint, why }, timeout };
        }
        let silence = format!("nothing within {} s", call.deadline.as_secs());
        let why = cause(error, timeout, silence);
        let write = call.is_write();
        Failure { error: Error::AnswerLost { endpoint, why, write }, timeout }
    }
}

fn reason_phrase(extensions: &Extensions) -> Option<String> {
    let phrase = extensions.get::<hyper::ext::ReasonPhrase>()?;
    Some(String::from_utf8_lossy(phrase.as_bytes()).into_owned())
}

/// Every error below, outermost first, those inside an `io::Error` included (its `source` skips them).
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut all = vec![error];
    let mut here = error;
    // The depth is bounded so that a cycle cannot hold us.
    for _ in 0..16 {
        let inner: Option<&(dyn StdError + 'static)> = match here.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|e| e as &(dyn StdError + 'static)),
            None => here.source(),
        };
        let Some(inner) = inner else { break };
        all.push(inner);
        here = inner;
    }
    all
}

fn tls_problem(error: &reqwest::Error) -> Option<crate::error::TlsProblem> {
    chain(error).into_iter().find_map(|e| e.downcast_ref().and_then(tls::problem))
}

/// The innermost cause in a few words; never the URL.
fn cause(error: &reqwest::Error, timeout: bool, silence: String) -> String {
    if timeout {
        return silence;
    }
    let all = chain(error);
    let io = all.iter().find_map(|e| e.downcast_ref::<io::Error>()).map(io::Error::kind);
    match io {
        Some(io::ErrorKind::ConnectionRefused) => return "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            return "connection reset".to_owned();
        }
        Some(io::ErrorKind::TimedOut) => return silence,
        Some(io::ErrorKind::HostUnreachable) => return "no route to host".to_owned(),
        Some(io::ErrorKind::NetworkUnreachable) => return "network unreachable".to_owned(),
        Some(io::ErrorKind::UnexpectedEof) => {
            return "connection closed in the middle".to_owned();
        }
        _ => {}
    }
    let hyper_says = all.iter().find_map(|e| e.downcast_ref::<hyper::Error>());
    if hyper_says.is_some_and(hyper::Error::is_incomplete_message) {
        return "connection closed before the answer".to_owned();
    }
    all.last().map_or_else(String::new, |e| crate::classify::clean(&e.to_string(), ""))
}

impl From<&Tuning> for crate::retry::Policy {
    fn from(tuning: &Tuning) -> Self {
        Self {
            attempts: tuning.read_attempts.max(1),
            first_pause: tuning.retry_pause,
            total: tuning.read_total,
        }
    }
}
