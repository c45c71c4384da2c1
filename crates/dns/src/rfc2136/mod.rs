//! Any server that takes dynamic updates (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS and others.
//!
//! A change goes out as one UPDATE message whose prerequisites are the sets as they were read, so it is carried out
//! as a whole or not at all, and only on the state that was looked at. Reads are ordinary questions, signed too, for
//! which the key needs no right to transfer the zone.

mod message;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use domain::base::iana::Rcode;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use gantry_core::dns::{Change, Data, Key, Kind, Name, Set, Sets};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Deadlines;
use crate::error::Error;
use crate::provider::Health;
use message::Update;
use wire::Wire;

/// Questions asked at the same time; a name server answers thousands a second.
const QUESTIONS_AT_ONCE: usize = 8;
/// Shortest secret, bytes: 128 bits.
const SECRET_MIN: usize = 16;

/// How messages are signed. MD5 and SHA-1 are left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// hmac-sha256, what servers make by default.
    HmacSha256,
    /// hmac-sha512.
    HmacSha512,
}

impl Algorithm {
    /// `hmac-sha256` or `hmac-sha512`.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "hmac-sha256" => Some(Self::HmacSha256),
            "hmac-sha512" => Some(Self::HmacSha512),
            _ => None,
        }
    }
}

/// Seconds since 1970 by the wall clock, which TSIG signs.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        let since = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(Arc::new(move || since().map_or(0, |d| d.as_secs())))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct Rfc2136Config {
    /// Host and port of the primary server: `ns1.lab.example:53`.
    pub server: String,
    /// Name of the TSIG key.
    pub key_name: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// Its secret in Base64, as `tsig-keygen` and `keymgr -t` print it.
    pub secret: SecretString,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What signatures are dated with.
    pub clock: Clock,
}

#[derive(Debug)]
pub(crate) struct Rfc2136 {
    wire: Wire,
}

impl Rfc2136 {
    pub(crate) fn new(config: Rfc2136Config) -> Result<Self, Error> {
        let bad = |why: &str| Error::Config { why: why.to_owned() };
        let has_port = config.server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !has_port {
            return Err(bad("the server must be a host and a port, such as ns1.lab.example:53"));
        }
        let name: Name = config
            .key_name
            .parse()
            .map_err(|_| bad("the name of a key is a DNS name, such as gantry or gantry.lab"))?;
        let secret = base64::engine::general_purpose::STANDARD
            .decode(config.secret.expose_secret().trim())
            .map_err(|_| bad("the secret of the key is not Base64"))?;
        if secret.len() < SECRET_MIN {
            return Err(bad("the secret of the key is shorter than 128 bits"));
        }
        let algorithm = match config.algorithm {
            Algorithm::HmacSha256 => domain::tsig::Algorithm::Sha256,
            Algorithm::HmacSha512 => domain::tsig::Algorithm::Sha512,
        };
        let key_name = name.as_str().parse().map_err(|_| bad("the name of the key is too long"))?;
        let key = domain::tsig::Key::new(algorithm, &secret, key_name, None, None)
            .map_err(|_| bad("the key cannot be used"))?;
        let wire = Wire {
            server: config.server,
            key: Arc::new(key),
            key_name: name.to_string(),
            deadlines: config.deadlines,
            clock: config.clock,
        };
        Ok(Self { wire })
    }

    pub(crate) async fn read(&self, zone: &Name, keys: &BTreeSet<Key>) -> Result<Sets, Error> {
        let questions: Vec<Key> = keys.iter().cloned().collect();
        let answers: Vec<Sets> = stream::iter(questions)
            .map(|key| async move { self.ask(zone, &key).await })
            .buffer_unordered(QUESTIONS_AT_ONCE)
            .try_collect()
            .await?;
        let mut all: BTreeMap<Key, Set> = BTreeMap::new();
        for (key, set) in answers.into_iter().flatten() {
            all.insert(key, set);
        }
        Ok(all)
    }

    /// One question. An alias at the name is answered with the alias.
    async fn ask(&self, zone: &Name, key: &Key) -> Result<Sets, Error> {
        let answer = self.wire.ask(&key.name, message::kind_code(key.kind)).await?;
        let server = self.wire.server.clone();
        match answer.header().rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => {}
            Rcode::REFUSED => {
                let why = "it does not hold the zone, or the key may not query it".to_owned();
                return Err(Error::Refused { server, zone: zone.clone(), why });
            }
            Rcode::NOTAUTH => return Err(Error::NoZone { server, zone: zone.clone() }),
            other => return Err(Error::Server { server, why: other.to_string(), write: false }),
        }
        // Without authority: a resolver, or the name is delegated to other servers.
        if !answer.header().aa() {
            return Err(Error::OutOfZone { name: key.name.to_string(), zones: zone.to_string() });
        }
        message::records(&answer, key).map_err(|why| Error::Decode { server, why, write: false })
    }

    /// A question cannot tell a record from one that a wildcard makes up; a prerequisite can. One update message
    /// without updates for each key.
    pub(crate) async fn really_there(
        &self,
        zone: &Name,
        keys: BTreeSet<Key>,
    ) -> Result<BTreeSet<Key>, Error> {
        let mut there = BTreeSet::new();
        for key in keys {
            let mut update = Update::new(zone);
            update.must_exist(&key);
            match self.update(zone, update, false).await {
                Ok(()) => _ = there.insert(key),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(there)
    }

    pub(crate) async fn apply(&self, zone: &Name, changes: &[Change]) -> Result<(), Error> {
        let mut update = Update::new(zone);
        for change in changes {
            update.change(change);
        }
        self.update(zone, update, true).await
    }

    pub(crate) async fn check(&self, zone: &Name) -> Result<Health, Error> {
        let probe = Key { name: zone.clone(), kind: Kind::Txt };
        let asked = self.ask(zone, &probe).await;
        if let Err(error) = &asked
            && !matches!(error, Error::Refused { .. })
        {
            return asked.map(|_| Health::default());
        }
        // An update that asks for nothing needs the same rights and changes nothing, not even the serial. Where the
        // question was refused it says more exactly why.
        self.update(zone, Update::new(zone), false).await?;
        asked.map(|_| Health::default())
    }

    async fn update(&self, zone: &Name, update: Update, write: bool) -> Result<(), Error> {
        let answer = self.wire.update(update, write).await?;
        let (server, zone) = (self.wire.server.clone(), zone.clone());
        let code = answer.header().rcode();
        let why = code.to_string();
        match code {
            Rcode::NOERROR => Ok(()),
            Rcode::YXDOMAIN | Rcode::YXRRSET | Rcode::NXRRSET | Rcode::NXDOMAIN => {
                Err(Error::Conflict { zone, why })
            }
            // Signed, and without an error of the signature: the server is no authority for the zone.
            Rcode::NOTAUTH => Err(Error::NoZone { server, zone }),
            Rcode::NOTZONE => {
                Err(Error::OutOfZone { name: "a name".into(), zones: zone.to_string() })
            }
            Rcode::REFUSED | Rcode::NOTIMP => Err(Error::Refused { server, zone, why }),
            Rcode::FORMERR => Err(Error::Invalid { server, why }),
            _ => Err(Error::Server { server, why, write }),
        }
    }
}

/// A record that [`message`] can write; all that gantry makes are.
fn is_plain(data: &Data) -> bool {
    !matches!(data, Data::Other(..))
}
