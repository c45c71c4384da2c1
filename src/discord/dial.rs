//! Which hosts may see the bot token, and the way to open a gateway connection to one of them.
//! Invariant: no connection is opened to an address this file has not allowed. Called by the front,
//! the preflight and the sessions.

use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::{Host, Url};

/// Largest gateway message accepted. READY of a shard with 2,500 guilds is about 0.2 MB; a
/// GUILD_CREATE of the largest guilds stays below 10 MB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Longest answer of a proxy to CONNECT.
const MAX_PROXY_ANSWER: usize = 8 * 1024;

/// Either side of a gateway socket.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// An open gateway connection.
pub(super) type Socket = WebSocketStream<Box<dyn Pipe>>;

/// Why a gateway connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Refused(String),
    #[error("could not reach the Discord gateway")]
    Io(#[from] std::io::Error),
    #[error("the Discord gateway refused the connection")]
    Handshake(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("the proxy refused the connection: {0}")]
    Proxy(String),
}

/// Discord's own address.
pub(super) fn discord() -> Url {
    #[expect(clippy::expect_used, reason = "a literal that the unit tests parse")]
    Url::parse("https://discord.com").expect("a literal URL")
}

/// Whether a host is this machine, judged by its text alone (no lookup that could change).
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Why an API address must not be given the token; `None` when it may.
pub(super) fn unsafe_api(url: &Url) -> Option<&'static str> {
    match url.scheme() {
        _ if url.host().is_none() => Some("has no host"),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Some("must not contain a user name or password")
        }
        _ if url.query().is_some() || url.fragment().is_some() => {
            Some("must be a plain address without ? or #")
        }
        "https" => None,
        "http" if is_loopback(url) => None,
        "http" => Some("would send the bot token in clear; use https"),
        _ => Some("must start with https://"),
    }
}

/// Whether the token may be sent to the gateway address that the API at `api_base` handed out.
///
/// # Errors
/// The reason, as a sentence for the operator.
pub(super) fn check_gateway(text: &str, api_base: &Url) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|why| {
        format!("Discord's API named a gateway address that is none ({why}); not connecting")
    })?;
    let shown = url.host_str().unwrap_or("no host").to_owned();
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the gateway address at {shown} contains a user name; not connecting"));
    }
    match url.scheme() {
        "wss" => {}
        "ws" if is_loopback(&url) => {}
        scheme => {
            return Err(format!(
                "the gateway address at {shown} uses {scheme}://, which would send the bot token in \
                 clear; not connecting"
            ));
        }
    }
    let api_host = api_base.host_str().unwrap_or_default();
    let discords = api_host == "discord.com" || api_host.ends_with(".discord.com");
    let allowed = if discords {
        shown == "discord.gg" || shown.ends_with(".discord.gg")
    } else {
        shown == api_host
    };
    if allowed {
        Ok(url)
    } else {
        Err(format!(
            "the API at {api_host} named {shown} as gateway, which is not its own; not connecting, \
             because the bot token would go there"
        ))
    }
}

/// Opens a gateway connection (API version 10, JSON, no transport compression).
pub(super) async fn connect(
    url: &Url,
    api_base: &Url,
    proxy: Option<&Url>,
    tls: &Arc<rustls::ClientConfig>,
    user_agent: &HeaderValue,
) -> Result<Socket, DialError> {
    let mut url = check_gateway(url.as_str(), api_base).map_err(DialError::Refused)?;
    url.set_query(Some("v=10&encoding=json"));
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = match proxy {
        None => TcpStream::connect((host.trim_matches(['[', ']']), port)).await?,
        Some(proxy) => through(proxy, &host, port).await?,
    };
    stream.set_nodelay(true)?;
    let pipe: Box<dyn Pipe> = if url.scheme() == "wss" {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| DialError::Refused(format!("{host} is not a name TLS knows")))?;
        Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?)
    } else {
        Box::new(stream)
    };
    let broken = |error| DialError::Handshake(Box::new(error));
    let mut request = url.as_str().into_client_request().map_err(broken)?;
    request.headers_mut().insert(http::header::USER_AGENT, user_agent.clone());
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(16 * 1024);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, pipe, Some(config))
        .await
        .map_err(broken)?;
    Ok(socket)
}

/// A tunnel through an HTTP proxy (CONNECT).
async fn through(proxy: &Url, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let at = proxy.host_str().unwrap_or_default().to_owned();
    let mut stream = TcpStream::connect((
        at.trim_matches(['[', ']']),
        proxy.port_or_known_default().unwrap_or(3128),
    ))
    .await?;
    stream
        .write_all(
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes(),
        )
        .await?;
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_PROXY_ANSWER {
            return Err(DialError::Proxy("its answer does not end".to_owned()));
        }
        answer.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some("200") {
        Ok(stream)
    } else {
        Err(DialError::Proxy(line.chars().take(120).collect()))
    }
}

/// TLS for the gateway: ring, the public roots, nothing else.
pub(super) fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gateway: &str, api: &str) -> Result<Url, String> {
        check_gateway(gateway, &Url::parse(api).unwrap())
    }

    #[test]
    fn discords_gateway_is_accepted_for_discords_api_only() {
        assert!(check("wss://gateway.discord.gg", "https://discord.com").is_ok());
        assert!(check("wss://gateway-us-east1-b.discord.gg", discord().as_str()).is_ok());
        assert!(check("wss://gateway.discord.gg", "http://127.0.0.1:1").is_err());
        for elsewhere in [
            "wss://discord.gg.example.org",
            "wss://evildiscord.gg",
            "wss://example.org/discord.gg",
            "wss://gateway.discord.gg@example.org",
            "ws://gateway.discord.gg",
            "http://gateway.discord.gg",
            "gateway.discord.gg",
        ] {
            let refused = check(elsewhere, "https://discord.com").unwrap_err();
            assert!(refused.contains("not connecting"), "{elsewhere}: {refused}");
        }
    }

    #[test]
    fn a_local_api_must_name_itself_and_may_be_plain() {
        assert!(check("ws://127.0.0.1:9/gw", "http://127.0.0.1:8").is_ok());
        assert!(check("ws://127.0.0.2:9/gw", "http://127.0.0.1:8").is_err());
        assert!(check("ws://api.example.org", "https://api.example.org").is_err());
        assert!(check("wss://api.example.org", "https://api.example.org").is_ok());
    }

    #[test]
    fn an_api_address_that_would_leak_the_token_is_refused() {
        let why = |text: &str| unsafe_api(&Url::parse(text).unwrap());
        assert_eq!(why("https://discord.com"), None);
        assert_eq!(why("http://127.0.0.1:4000"), None);
        assert_eq!(why("http://localhost:4000"), None);
        assert!(why("http://discord.com").is_some());
        assert!(why("http://127.0.0.1.example.org").is_some());
        assert!(why("https://user:pw@discord.com").is_some());
        assert!(why("ftp://discord.com").is_some());
    }
}
