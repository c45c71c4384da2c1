//! Addresses that a node is asked to fetch from, and which of them an operator allows.
//!
//! The node fetches, not gantry: what is checked here is, letter by letter, what Proxmox gets. Only hosts that the
//! configuration names pass; numbers that stand for addresses in disguise never do, listed or not.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reference::{BadImage, Content, ImageRef, is_file_name};

/// Longest address passed on.
const URL_MAX: usize = 1024;
/// Longest host name (RFC 1035).
const HOST_MAX: usize = 253;
/// What cloud providers answer secrets on besides the link-local range.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// A host with its port, where one is written: a DNS name in small letters, or an address in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// A text that is no host gantry would have a node connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHost(String);

impl Host {
    /// A name that is known to be one.
    pub(super) fn name(name: &str) -> Self {
        Self { name: name.to_owned(), port: None }
    }

    /// The address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        let inner = self.name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        inner.unwrap_or(&self.name).parse().ok()
    }

    /// The port written, if any.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Why no node may ever be sent there, whoever lists it: itself, its own links, and where clouds keep secrets.
pub(crate) fn forbidden(address: IpAddr) -> Option<&'static str> {
    let v4 = match address {
        IpAddr::V4(v4) => Some(v4),
        // Mapped and compatible forms, 6to4 and NAT64 lead to an IPv4 address.
        IpAddr::V6(v6) => embedded(v6),
    };
    if let Some(v4) = v4 {
        return forbidden_v4(v4);
    }
    let IpAddr::V6(v6) = address else { return None };
    if v6.is_loopback() || v6.is_unspecified() {
        return Some("it leads back to the node itself");
    }
    if v6.is_multicast() {
        return Some("it is a multicast address");
    }
    if v6.segments()[0] & 0xffc0 == 0xfe80 {
        return Some("it is a link-local address");
    }
    (v6 == METADATA_V6).then_some("clouds keep their secrets there")
}

fn forbidden_v4(v4: Ipv4Addr) -> Option<&'static str> {
    if v4.is_loopback() || v4.octets()[0] == 0 {
        return Some("it leads back to the node itself");
    }
    if v4.is_link_local() {
        return Some("it is a link-local address; clouds keep their secrets there");
    }
    (v4.is_multicast() || v4.is_broadcast()).then_some("it is no address of a server")
}

fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let tail = || {
        let [.., a, b] = s;
        Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(tail()),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, ..] => Some(tail()),
        [0x2002, a, b, ..] => Some(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))),
        _ => None,
    }
}

impl FromStr for Host {
    type Err = BadHost;
    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = |why: &str| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            BadHost(format!("`{shown}` is no host gantry sends a node to: {why}"))
        };
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, after) =
                    rest.split_once(']').ok_or_else(|| bad("a bracket is missing"))?;
                let address: Ipv6Addr = inner.parse().map_err(|_| bad("not an IPv6 address"))?;
                if inner.contains('%') {
                    return Err(bad("zones are not possible"));
                }
                (
                    format!("[{address}]"),
                    after.strip_prefix(':').or((!after.is_empty()).then_some("x")),
                )
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name.to_ascii_lowercase(), Some(port)),
                None => (text.to_ascii_lowercase(), None),
            },
        };
        let port = match port {
            None => None,
            Some(digits) => {
                let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
                let number = digits.parse::<u16>().ok().filter(|p| plain && *p > 0);
                Some(number.ok_or_else(|| bad("a port is a number from 1 to 65535"))?)
            }
        };
        let host = Self { name, port };
        if let Some(address) = host.address() {
            return match forbidden(address) {
                Some(why) => Err(bad(why)),
                None => Ok(host),
            };
        }
        let name = host.name.as_str();
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if name.len() > HOST_MAX || !name.split('.').all(label) {
            return Err(bad("a host name has letters, digits, - and ., no user and no password"));
        }
        // `2130706433`, `0177.0.0.1` and `0x7f.1` are addresses to most programs.
        let last = name.rsplit('.').next().unwrap_or_default();
        let hex = last.strip_prefix("0x").is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("it is an address in disguise; write it as 192.0.2.1"));
        }
        if name == "localhost" || name.ends_with(".localhost") || name == "metadata.google.internal"
        {
            return Err(bad("it leads back to the node itself, or to a cloud's secrets"));
        }
        Ok(host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Host {
    type Error = BadHost;
    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

/// An address of a file: `https://host[:port]/path/file.qcow2[?query]`. No user, no fragment, nothing encoded twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageUrl {
    https: bool,
    host: Host,
    /// Path with its first slash, and the query.
    rest: String,
}

impl ImageUrl {
    /// Whether it is fetched over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Where it leads.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The last part of its path.
    pub fn file(&self) -> &str {
        let path = self.rest.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// For people and records: without the query, which may hold a signature.
    pub fn shown(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let path = self.rest.split('?').next().unwrap_or_default();
        format!("{scheme}://{}{path}", self.host)
    }
}

impl FromStr for ImageUrl {
    type Err = BadImage;
    fn from_str(text: &str) -> Result<Self, BadImage> {
        let bad = |rule: &str| BadImage::new(text, rule);
        if text.len() > URL_MAX {
            return Err(bad("an address has at most 1024 characters"));
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| bad("an address starts with https://"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("only https:// and http:// are fetched")),
        };
        let slash =
            rest.find('/').ok_or_else(|| bad("an address of an image ends in a file name"))?;
        let (host, rest) = rest.split_at(slash);
        let host: Host = host.parse().map_err(|e: BadHost| bad(&e.to_string()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+,:@/".contains(c);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if !path.chars().all(plain) {
            return Err(bad("its path may have letters, digits and - . _ ~ + , : @ / only"));
        }
        if path.split('/').any(|part| part == "." || part == "..") || path.contains("//") {
            return Err(bad("its path goes up or has an empty part"));
        }
        if !query.is_none_or(|q| q.chars().all(|c| plain(c) || "%=&".contains(c))) {
            return Err(bad("its query has characters that do not belong there"));
        }
        let url = Self { https, host, rest: rest.to_owned() };
        if !is_file_name(url.file()) || Content::of_file(url.file()).is_none() {
            return Err(bad(
                "its file name must end in .iso, .img, .qcow2, .raw, .vmdk, .ova, .tar.zst, .tar.gz or .tar.xz",
            ));
        }
        Ok(url)
    }
}

impl fmt::Display for ImageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host, self.rest)
    }
}

impl TryFrom<String> for ImageUrl {
    type Error = BadImage;
    fn try_from(text: String) -> Result<Self, BadImage> {
        text.parse()
    }
}

impl From<ImageUrl> for String {
    fn from(url: ImageUrl) -> Self {
        url.to_string()
    }
}

/// A host an operator lists: `cloud.debian.org`, `*.example.org`, `mirror.lan:8080`, `10.0.0.5`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    below: bool,
    host: Host,
}

impl HostPattern {
    fn covers(&self, host: &Host, default_ports: &[u16]) -> bool {
        let port_ok = match (self.host.port, host.port) {
            (Some(want), have) => have == Some(want),
            (None, None) => true,
            (None, Some(have)) => default_ports.contains(&have),
        };
        let name_ok = if self.below {
            host.address().is_none()
                && host
                    .name
                    .strip_suffix(self.host.name.as_str())
                    .is_some_and(|r| r.ends_with('.') && r.len() > 1)
        } else {
            host.name == self.host.name
        };
        port_ok && name_ok
    }
}

impl FromStr for HostPattern {
    type Err = BadHost;
    fn from_str(text: &str) -> Result<Self, BadHost> {
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let host: Host = rest.parse()?;
        if below && (host.address().is_some() || !host.name.contains('.')) {
            return Err(BadHost(format!(
                "`{text}` would cover a whole top-level domain, or addresses"
            )));
        }
        Ok(Self { below, host })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = BadHost;
    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// Where nodes may fetch images from. Nothing listed: nowhere. Proxmox's own template list needs no entry: each
/// node's administrators chose its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageRules {
    /// Hosts of addresses.
    pub hosts: Vec<HostPattern>,
    /// OCI registries.
    pub registries: Vec<HostPattern>,
}

impl ImageRules {
    /// Why a node may not fetch that image, in people's words.
    ///
    /// # Errors
    /// [`BadImage`] when its host is not listed.
    pub fn check(&self, image: &ImageRef) -> Result<(), BadImage> {
        let (host, listed, ports, key): (&Host, &[HostPattern], &[u16], &str) = match image {
            ImageRef::Template(_) | ImageRef::Volume(_) => return Ok(()),
            ImageRef::Url(url) => {
                (url.host(), &self.hosts, if url.is_https() { &[443] } else { &[80] }, "hosts")
            }
            ImageRef::Oci(oci) => (oci.registry(), &self.registries, &[443], "registries"),
        };
        if listed.iter().any(|p| p.covers(host, ports)) {
            return Ok(());
        }
        let shown = match image {
            ImageRef::Url(url) => url.shown(),
            other => other.to_string(),
        };
        Err(BadImage::new(
            &shown,
            format!("{host} is not among the {key} that the configuration allows (images.{key})"),
        ))
    }
}
