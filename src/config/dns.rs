//! `[[dns]]`: the name servers headless services are published at, and the zones gantry may write there.

use std::collections::BTreeSet;

use gantry_core::dns::Name;
use secrecy::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::clusters::Tls;
use super::read::Section;

/// One name server.
#[derive(Debug, Clone)]
pub struct Dns {
    /// What people call it; letters, digits, - and _.
    pub name: String,
    /// The zones gantry may write, reverse zones among them.
    pub zones: Vec<Name>,
    /// How it is spoken to.
    pub provider: Provider,
    /// The API key, or the secret of the TSIG key in Base64.
    pub key: Secret<String>,
    /// Whether pods with addresses of 127.0.0.0/8 have names: in simulations on one machine.
    pub loopback: bool,
}

/// How a name server is spoken to.
#[derive(Debug, Clone)]
pub enum Provider {
    /// PowerDNS by its HTTP API.
    PowerDns {
        /// Address of its web server.
        url: Url,
        /// How an `https://` address proves who it is: public authorities or a CA file.
        tls: Tls,
    },
    /// Any server that takes RFC 2136 updates signed with TSIG.
    Rfc2136 {
        /// Host and port.
        server: String,
        /// Name of the TSIG key.
        key_name: Name,
        /// How it signs.
        algorithm: Algorithm,
    },
}

/// Which of them; the configuration's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    PowerDns,
    Rfc2136,
}

/// How TSIG signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// What `tsig-keygen` makes.
    HmacSha256,
    /// The longer one.
    HmacSha512,
}

impl Dns {
    pub(super) fn read_all(sections: Vec<Section<'_>>) -> Vec<Self> {
        let mut out: Vec<Self> = Vec::new();
        let mut zones = BTreeSet::new();
        for section in sections {
            let (path, reader) = (section.path().to_owned(), section.reader());
            let Some(dns) = Self::read(section) else { continue };
            if out.iter().any(|d| d.name == dns.name) {
                let what = format!("`{}` is the name of another server already", dns.name);
                reader.mistake(format!("{path}.name"), what);
            }
            for zone in dns.zones.iter().filter(|z| !zones.insert((*z).clone())) {
                let what = format!("{zone} stands here twice or belongs to another server already");
                reader.mistake(format!("{path}.zones"), what);
            }
            out.push(dns);
        }
        out
    }

    fn read(mut s: Section<'_>) -> Option<Self> {
        let name = s.need::<String>("name", "give the server a name: name = \"ns1\"");
        if let Some(name) = &name {
            s.called(name);
            let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(ok) {
                s.mistake("name", "must be letters, digits, - and _");
            }
        }
        let kind = s.need::<Kind>("provider", "write \"powerdns\" or \"rfc2136\"");
        let zones = s.each::<Name>("zones");
        if zones.is_empty() {
            s.mistake("zones", "names no zone; zones = [\"lab.example\", \"0.0.10.in-addr.arpa\"]");
        }
        let url = s.may::<Url>("url");
        let mut tls = s.take("tls", Tls::System);
        let server = s.may::<String>("server");
        let key_name = s.may::<Name>("key_name");
        let algorithm = s.take("algorithm", Algorithm::HmacSha256);
        let key = s.secret(
            "key",
            "key_file",
            "set key_file to a file that holds the API key or the secret of the TSIG key",
        );
        let loopback = s.take("loopback", false);
        let provider = match kind {
            Some(Kind::PowerDns) => {
                if server.is_some() || key_name.is_some() {
                    s.mistake("provider", "powerdns takes url and key, no server and no key_name");
                }
                match &mut tls {
                    Tls::System => {}
                    Tls::CaFile(file) => *file = s.reader().resolve(&file.to_string_lossy()),
                    _ => s.mistake(
                        "tls",
                        "write \"system\" or { ca_file = \"…\" } for a name server",
                    ),
                }
                let web = |u: &Url| matches!(u.scheme(), "http" | "https") && u.host().is_some();
                if !url.as_ref().is_some_and(web) {
                    s.mistake("url", "must look like http://ns1.lab.example:8081");
                }
                url.map(|url| Provider::PowerDns { url, tls })
            }
            Some(Kind::Rfc2136) => {
                if url.is_some() {
                    s.mistake("url", "is for powerdns; rfc2136 takes server");
                }
                let has_port = |text: &String| {
                    text.rsplit_once(':')
                        .is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
                };
                if !server.as_ref().is_some_and(has_port) {
                    s.mistake(
                        "server",
                        "must be a host and a port: server = \"ns1.lab.example:53\"",
                    );
                }
                if key_name.is_none() {
                    s.mistake(
                        "key_name",
                        "is missing; the name of the TSIG key: key_name = \"gantry\"",
                    );
                }
                server.zip(key_name).map(|(server, key_name)| Provider::Rfc2136 {
                    server,
                    key_name,
                    algorithm,
                })
            }
            None => None,
        };
        s.finish();
        Some(Self { name: name?, zones, provider: provider?, key: key?, loopback })
    }
}
