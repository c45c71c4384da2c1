//! `[[clusters]]`: the Proxmox clusters gantry drives: where they are, as whom, and how they prove who they are.

use std::path::PathBuf;

use gantry_core::id::ClusterId;
use secrecy::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::node_shell::NodeShell;
use super::read::Section;

/// Hexadecimal digits of a SHA-256.
const FINGERPRINT_DIGITS: usize = 64;

/// One cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What people call it.
    pub id: ClusterId,
    /// Addresses of its nodes, `https://pve1.example:8006`; any of them answers for all.
    pub endpoints: Vec<Url>,
    /// The API token's id, `gantry@pve!bot`.
    pub token_id: String,
    /// The API token's secret.
    pub token_secret: Secret<String>,
    /// How an endpoint proves who it is.
    pub tls: Tls,
    /// An HTTP proxy on the way to it; the process's `HTTPS_PROXY` is not read.
    pub proxy: Option<Url>,
    /// What gantry asks of it at most.
    pub limits: Limits,
    /// What the API cannot do, over SSH; off when absent.
    pub node_shell: Option<NodeShell>,
}

/// How an endpoint proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawTls", into = "RawTls")]
pub enum Tls {
    /// By a certificate of a public authority.
    System,
    /// By a certificate of this authority; the cluster's own is `/etc/pve/pve-root-ca.pem`.
    CaFile(PathBuf),
    /// By having a certificate with one of these SHA-256 fingerprints, 64 upper-case hexadecimal digits.
    Fingerprints(Vec<String>),
    /// Not at all. Announced on every start.
    Insecure,
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "write \"system\", { ca_file = \"pve-root-ca.pem\" }, { fingerprints = [\"AB:CD:…\"] } or \"insecure\""
)]
enum RawTls {
    Word(String),
    Ca(RawCa),
    Pins(RawPins),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCa {
    ca_file: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPins {
    fingerprints: Vec<String>,
}

impl TryFrom<RawTls> for Tls {
    type Error = String;
    fn try_from(raw: RawTls) -> Result<Self, String> {
        match raw {
            RawTls::Word(word) if word == "system" => Ok(Self::System),
            RawTls::Word(word) if word == "insecure" => Ok(Self::Insecure),
            RawTls::Word(word) => Err(format!(
                "`{word}` is not a choice; write \"system\", {{ ca_file = \"…\" }}, {{ fingerprints = [\"…\"] }} or \"insecure\""
            )),
            RawTls::Ca(RawCa { ca_file }) => Ok(Self::CaFile(ca_file)),
            RawTls::Pins(RawPins { fingerprints }) if fingerprints.is_empty() => {
                Err("the list of fingerprints is empty".to_owned())
            }
            RawTls::Pins(RawPins { fingerprints }) => fingerprints
                .iter()
                .map(|f| fingerprint(f))
                .collect::<Result<_, _>>()
                .map(Self::Fingerprints),
        }
    }
}

impl From<Tls> for RawTls {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::System => Self::Word("system".to_owned()),
            Tls::Insecure => Self::Word("insecure".to_owned()),
            Tls::CaFile(ca_file) => Self::Ca(RawCa { ca_file }),
            Tls::Fingerprints(fingerprints) => Self::Pins(RawPins { fingerprints }),
        }
    }
}

/// Takes a fingerprint with or without colons, as Proxmox and openssl print it.
fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String =
        text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    if digits.len() == FINGERPRINT_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(format!(
            "`{}` is not a SHA-256 fingerprint; `pvenode cert info` shows it: 32 pairs of hexadecimal digits",
            text.chars().take(100).collect::<String>()
        ))
    }
}

/// What gantry asks of a cluster at most. The defaults fit a stock pveproxy (3 workers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Reads a second; writes have a budget of their own.
    pub requests_per_second: u32,
    /// Requests in flight to one endpoint.
    pub concurrent: u32,
    /// Seconds until a connection must stand.
    pub connect_timeout_s: u32,
    /// Seconds until a read must be answered.
    pub read_timeout_s: u32,
    /// Seconds until a write must be answered. Longer than the 30 s after which Proxmox gives up on another node,
    /// or the answer to something carried out would be lost.
    pub write_timeout_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 10,
            concurrent: 6,
            connect_timeout_s: 3,
            read_timeout_s: 5,
            write_timeout_s: 35,
        }
    }
}

impl Limits {
    fn read(mut s: Section<'_>) -> Self {
        let d = Self::default();
        let limits = Self {
            requests_per_second: s.number("requests_per_second", d.requests_per_second, 1..=1000),
            concurrent: s.number("concurrent", d.concurrent, 2..=100),
            connect_timeout_s: s.number("connect_timeout_s", d.connect_timeout_s, 1..=60),
            read_timeout_s: s.number("read_timeout_s", d.read_timeout_s, 1..=120),
            write_timeout_s: s.number("write_timeout_s", d.write_timeout_s, 5..=300),
        };
        s.finish();
        limits
    }
}

impl Cluster {
    pub(super) fn read_all(sections: Vec<Section<'_>>) -> Vec<Self> {
        let mut out: Vec<Self> = Vec::new();
        for section in sections {
            let (path, reader) = (section.path().to_owned(), section.reader());
            if let Some(cluster) = Self::read(section) {
                if out.iter().any(|c| c.id == cluster.id) {
                    reader.mistake(
                        format!("{path}.id"),
                        format!("`{}` is the id of another cluster already", cluster.id),
                    );
                }
                if cluster.id.as_str() == gantry_core::alert::OWN {
                    let own = "stands for gantry itself in alerts; call the cluster something else";
                    reader.mistake(format!("{path}.id"), own.to_owned());
                }
                out.push(cluster);
            }
        }
        out
    }

    fn read(mut s: Section<'_>) -> Option<Self> {
        let id = s.need::<ClusterId>("id", "give the cluster a name: id = \"lab\"");
        if let Some(id) = &id {
            s.called(id.as_str());
        }
        let addresses = s.each::<String>("endpoints");
        let mut endpoints = Vec::new();
        for (n, text) in addresses.iter().enumerate() {
            match endpoint(text) {
                Some(url) => endpoints.push(url),
                None => s.mistake(
                    &format!("endpoints[{n}]"),
                    "must look like https://pve1.example:8006: https, no path, no user name",
                ),
            }
        }
        if addresses.is_empty() {
            s.mistake(
                "endpoints",
                "is missing or empty; endpoints = [\"https://pve1.example:8006\"]",
            );
        }
        let token_id = s.need::<String>("token_id", "token_id = \"gantry@pve!bot\"");
        if token_id.as_deref().is_some_and(|t| !is_token_id(t)) {
            s.mistake("token_id", "must look like gantry@pve!bot: user@realm!name");
        }
        let token_secret = s.secret(
            "token_secret",
            "token_secret_file",
            "set token_secret_file to a file that holds what `pveum user token add` printed as value",
        );
        let mut tls = s.take("tls", Tls::System);
        if let Tls::CaFile(file) = &mut tls {
            *file = s.reader().resolve(&file.to_string_lossy());
            if let Err(e) = std::fs::File::open(&*file) {
                s.mistake("tls.ca_file", format!("cannot read {}: {}", file.display(), e.kind()));
            }
        }
        let proxy = s.may::<Url>("proxy");
        let limits = Limits::read(s.section("limits"));
        let node_shell = NodeShell::read(s.section("node_shell"));
        s.finish();
        Some(Self {
            id: id?,
            endpoints,
            token_id: token_id?,
            token_secret: token_secret?,
            tls,
            proxy,
            limits,
            node_shell,
        })
    }
}

fn endpoint(text: &str) -> Option<Url> {
    (super::discord::is_base_url(text) && text.starts_with("https://"))
        .then(|| Url::parse(text).ok())
        .flatten()
}

/// `user@realm!name`, as `pveum` prints it; no white space, so that it fits a header.
fn is_token_id(text: &str) -> bool {
    let word = |s: &str| {
        !s.is_empty()
            && s.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '!' | '=' | ':' | ';'))
    };
    text.split_once('!').is_some_and(|(user, name)| {
        word(name) && user.rsplit_once('@').is_some_and(|(u, realm)| word(u) && word(realm))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_taken_as_proxmox_and_openssl_print_it() {
        let pairs = ["ab"; 32];
        assert_eq!(fingerprint(&pairs.join(":")), Ok("AB".repeat(32)));
        assert_eq!(fingerprint(&pairs.concat()), Ok("AB".repeat(32)));
        assert!(fingerprint("AB:CD").is_err());
        assert!(fingerprint(&"zz:".repeat(32)).is_err());
    }

    #[test]
    fn token_ids_and_endpoints_have_one_shape() {
        assert!(is_token_id("gantry@pve!bot"));
        for bad in ["gantry", "gantry@pve", "gantry!bot", "gantry@pve!", "a b@pve!bot", "g@pve!b=c"]
        {
            assert!(!is_token_id(bad), "{bad}");
        }
        assert!(endpoint("https://pve1:8006").is_some());
        for bad in ["http://pve1:8006", "pve1", "https://root@pve1", "https://pve1/api2/json"] {
            assert!(endpoint(bad).is_none(), "{bad}");
        }
    }
}
