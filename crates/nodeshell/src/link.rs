//! One connection to one node: dial, check the host key, log in, open channels.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_core::id::NodeName;
use russh::client::{self, Handle, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, Preferred};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::NodeAddress;
use crate::error::Error;
use crate::pin::{HostKey, fingerprint};

/// Keepalives without any answer after which a connection is given up.
const KEEPALIVES_MAX: usize = 3;

/// How a node is dialled; never printed, it holds the key.
pub(crate) struct Dial {
    pub(crate) node: NodeName,
    pub(crate) address: NodeAddress,
    pub(crate) user: String,
    pub(crate) key: Arc<PrivateKey>,
    pub(crate) connect: Duration,
    pub(crate) keepalive: Duration,
}

/// Checks the host key and remembers a wrong one, so that both fingerprints can be told.
struct Door {
    pins: Vec<HostKey>,
    wrong: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Door {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let got = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                if self.pins.iter().any(|pin| pin.fits(key)) {
                    return Ok(true);
                }
                fingerprint(key)
            }
            PublicKeyOrCertificate::Certificate(_) => "a certificate".to_owned(),
        };
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(got);
        Ok(false)
    }
}

/// A connection that stands.
pub(crate) struct Link(Handle<Door>);

/// Why no channel was opened; nothing was sent.
pub(crate) enum NoChannel {
    /// The connection is gone; a new one may help.
    Gone,
    /// The node opens no more sessions now.
    Full,
}

impl Link {
    /// Connects and logs in within the connect deadline. Nothing is said before the host key fits.
    pub(crate) async fn connect(dial: &Dial) -> Result<Self, Error> {
        let unreachable = |why: String| Error::Unreachable { node: dial.node.clone(), why };
        match timeout(dial.connect, Self::dial(dial)).await {
            Ok(done) => done,
            Err(_) => Err(unreachable("connection timed out".to_owned())),
        }
    }

    async fn dial(dial: &Dial) -> Result<Self, Error> {
        let unreachable = |why: String| Error::Unreachable { node: dial.node.clone(), why };
        let address = (dial.address.host.as_str(), dial.address.port);
        let stream = TcpStream::connect(address).await.map_err(|e| unreachable(reason(&e)))?;
        // A line and an answer: waiting for more to send only costs time.
        stream.set_nodelay(true).map_err(|e| unreachable(reason(&e)))?;
        let wrong = Arc::new(Mutex::new(None));
        let door = Door { pins: dial.address.host_keys.clone(), wrong: wrong.clone() };
        let config = Arc::new(config(&dial.address.host_keys, dial.keepalive));
        let mut handle = match client::connect_stream(config, stream, door).await {
            Ok(handle) => handle,
            Err(error) => {
                let got = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(match (got, error) {
                    (Some(got), _) => Error::HostKey {
                        node: dial.node.clone(),
                        expected: dial.address.host_keys.iter().map(HostKey::fingerprint).collect(),
                        got,
                    },
                    // It has only keys of other kinds than the pinned ones.
                    (None, russh::Error::NoCommonAlgo { kind, theirs, .. })
                        if format!("{kind:?}") == "Key" =>
                    {
                        Error::HostKey {
                            node: dial.node.clone(),
                            expected: dial
                                .address
                                .host_keys
                                .iter()
                                .map(HostKey::fingerprint)
                                .collect(),
                            got: format!("only keys of the kinds {}", theirs.join(", ")),
                        }
                    }
                    (None, error) => unreachable(error.to_string()),
                });
            }
        };
        let key = PrivateKeyWithHashAlg::new(dial.key.clone(), None);
        match handle.authenticate_publickey(&dial.user, key).await {
            Ok(answer) if answer.success() => Ok(Self(handle)),
            Ok(_) => Err(Error::Auth { node: dial.node.clone(), user: dial.user.clone() }),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Opens a channel for one command.
    pub(crate) async fn channel(&self, deadline: Duration) -> Result<Channel<Msg>, NoChannel> {
        match timeout(deadline, self.0.channel_open_session()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(_))) => Err(NoChannel::Full),
            Ok(Err(_)) | Err(_) => Err(NoChannel::Gone),
        }
    }
}

fn config(pins: &[HostKey], keepalive: Duration) -> client::Config {
    let mut algorithms = Vec::new();
    for algorithm in pins.iter().flat_map(HostKey::algorithms) {
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    client::Config {
        keepalive_interval: Some(keepalive),
        keepalive_max: KEEPALIVES_MAX,
        preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::default() },
        ..client::Config::default()
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
