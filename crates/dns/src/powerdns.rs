//! PowerDNS by its HTTP API (`/api/v1/servers/localhost/zones/…`).
//!
//! A zone is read whole and changed by one PATCH, which PowerDNS carries out in one transaction. Facts measured with
//! 4.7.3: 401 and 404 are plain text, 422 is JSON with `error`; every answer closes its connection.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use gantry_core::dns::{Change, Data, Key, Kind, Name, Set, Sets};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, KeyProblem};
use crate::provider::Health;
use crate::{Deadlines, tls, txt};

/// Largest zone that is read, as JSON: about 100,000 records. gantry's zone should be one of its own anyway.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Most of an error's text that is shown.
const WORDS_MAX: usize = 200;
/// Stands behind the text of a record that somebody switched off, so that it is kept that way.
const DISABLED: &str = " ;disabled";

/// How a PowerDNS is reached.
#[derive(Debug, Clone)]
pub struct PowerDnsConfig {
    /// Address of its web server: `http://ns1.lab.example:8081`.
    pub url: Url,
    /// The `api-key` of pdns.conf.
    pub key: SecretString,
    /// CA of an `https://` address; the public ones where there is none.
    pub ca_file: Option<PathBuf>,
    /// How long things may take.
    pub deadlines: Deadlines,
}

pub(crate) struct PowerDns {
    base: String,
    server: String,
    client: reqwest::Client,
    deadlines: Deadlines,
}

impl fmt::Debug for PowerDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerDns").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct ZoneJson {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    soa_edit_api: String,
    #[serde(default)]
    rrsets: Vec<SetJson>,
}

#[derive(Deserialize)]
struct SetJson {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    ttl: u32,
    #[serde(default)]
    records: Vec<RecordJson>,
}

#[derive(Deserialize, Serialize)]
struct RecordJson {
    content: String,
    #[serde(default)]
    disabled: bool,
}

#[derive(Serialize)]
struct PatchJson {
    rrsets: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    changetype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<RecordJson>,
}

#[derive(Deserialize)]
struct ErrorJson {
    error: String,
}

impl PowerDns {
    pub(crate) fn new(config: PowerDnsConfig) -> Result<Self, Error> {
        let bad = |why: &str| Error::Config { why: why.to_owned() };
        let url = &config.url;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("the address of PowerDNS must start with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(bad("the address of PowerDNS must not contain a user, a password or a ?"));
        }
        let mut key = HeaderValue::from_str(config.key.expose_secret())
            .map_err(|_| bad("the API key has characters that cannot be sent"))?;
        key.set_sensitive(true);
        let headers: HeaderMap =
            [(HeaderName::from_static("x-api-key"), key)].into_iter().collect();
        // No connection is kept: PowerDNS closes each, and so an error can only mean that nothing was sent or that
        // the answer is lost.
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls::client_config(config.ca_file.as_deref())?)
            .default_headers(headers)
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(config.deadlines.connect)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| bad(&format!("HTTP cannot be set up: {}", e.without_url())))?;
        let host = url.host_str().unwrap_or_default();
        let server = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let base = format!("{}/api/v1/servers/localhost", url.as_str().trim_end_matches('/'));
        Ok(Self { base, server, client, deadlines: config.deadlines })
    }

    pub(crate) async fn read(&self, zone: &Name, keys: &BTreeSet<Key>) -> Result<Sets, Error> {
        let names: BTreeSet<&Name> = keys.iter().map(|k| &k.name).collect();
        // One set (the claim) can be asked for alone, since 4.6; an older server shows the zone, which is right too.
        let query = match keys.first() {
            Some(Key { name, kind: Kind::Txt }) if keys.len() == 1 => {
                format!("?rrset_name={name}.&rrset_type=TXT")
            }
            _ => String::new(),
        };
        let found = self.zone(zone, &query).await?.rrsets.into_iter().filter_map(|set| {
            // Names and kinds that cannot be read are not among those asked for.
            let name: Name = set.name.parse().ok()?;
            let key = Key { name, kind: Kind::of(&set.kind)? };
            let alias = key.kind == Kind::Cname && names.contains(&key.name);
            let data = set.records.into_iter().map(|r| data(key.kind, r)).collect();
            (alias || keys.contains(&key)).then_some((key, Set { ttl_s: set.ttl, data }))
        });
        Ok(found.filter(|(_, set)| !set.data.is_empty()).collect())
    }

    pub(crate) async fn apply(&self, zone: &Name, changes: &[Change]) -> Result<(), Error> {
        let change = |change: &Change| ChangeJson {
            name: change.key.name.dotted(),
            kind: change.key.kind.as_str(),
            changetype: if change.after.is_some() { "REPLACE" } else { "DELETE" },
            ttl: change.after.as_ref().map(|s| s.ttl_s),
            records: change.after.iter().flat_map(|s| &s.data).map(record).collect(),
        };
        let patch = PatchJson { rrsets: changes.iter().map(change).collect() };
        let body = serde_json::to_vec(&patch).map_err(|e| Error::Config {
            why: format!("records cannot be written as JSON: {e}"),
        })?;
        self.send(Method::PATCH, zone, "", Some(body)).await.map(|_| ())
    }

    pub(crate) async fn check(&self, zone: &Name) -> Result<Health, Error> {
        let found = self.zone(zone, "?rrsets=false").await?;
        if ["Slave", "Secondary", "Consumer"].contains(&found.kind.as_str()) {
            let why = format!("it is a {} zone; its records come from elsewhere", found.kind);
            let (server, zone) = (self.server.clone(), zone.clone());
            return Err(Error::Refused { server, zone, why });
        }
        let note = found.soa_edit_api.is_empty().then(|| {
            "its serial does not change with its records, so secondary servers do not notice: \
             set SOA-EDIT-API (pdnsutil set-meta ZONE SOA-EDIT-API DEFAULT)"
                .to_owned()
        });
        Ok(Health { note })
    }

    async fn zone(&self, zone: &Name, query: &str) -> Result<ZoneJson, Error> {
        let body = self.send(Method::GET, zone, query, None).await?;
        serde_json::from_slice(&body).map_err(|e| Error::Decode {
            server: self.server.clone(),
            why: e.to_string(),
            write: false,
        })
    }

    /// Sends once. Never repeats, whatever happens.
    async fn send(
        &self,
        method: Method,
        zone: &Name,
        query: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Error> {
        let write = body.is_some();
        let deadline = if write { self.deadlines.write } else { self.deadlines.read };
        let url = format!("{}/zones/{}.{query}", self.base, zone);
        let mut request = self.client.request(method.clone(), url).timeout(deadline);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let lost = |e: &reqwest::Error| self.failure(e, write, deadline);
        let mut response = request.send().await.map_err(|e| lost(&e))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
            if body.len() + chunk.len() > BODY_MAX {
                let what = format!("zone {zone}");
                return Err(Error::TooLarge { what, limit: BODY_MAX, write });
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(server = self.server, %method, %zone, status, "PowerDNS answered");
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(self.refusal(status, &body, zone, write))
    }

    fn refusal(&self, status: u16, body: &[u8], zone: &Name, write: bool) -> Error {
        let server = self.server.clone();
        let why = match serde_json::from_slice::<ErrorJson>(body) {
            Ok(said) => words(&said.error),
            Err(_) => words(&String::from_utf8_lossy(body)),
        };
        match status {
            401 => Error::Key { server, problem: KeyProblem::ApiKey },
            404 => Error::NoZone { server, zone: zone.clone() },
            409 => Error::Conflict { zone: zone.clone(), why },
            422 if why.contains("out of zone") => {
                let name = why.split_whitespace().nth(1).unwrap_or_default();
                let name = name.trim_end_matches('.').to_owned();
                Error::OutOfZone { name, zones: zone.to_string() }
            }
            422 if why.contains("onflicts with") => Error::Conflict { zone: zone.clone(), why },
            400 | 413 | 422 => Error::Invalid { server, why },
            500.. => Error::Server { server, why: format!("{status} {why}"), write },
            _ => Error::Refused { server, zone: zone.clone(), why: format!("{status} {why}") },
        }
    }

    fn failure(&self, error: &reqwest::Error, write: bool, deadline: Duration) -> Error {
        let server = self.server.clone();
        let mut why = deepest(error);
        if error.is_connect() {
            if error.is_timeout() {
                why = "connection timed out".to_owned();
            }
            return Error::Unreachable { server, why };
        }
        if error.is_builder() {
            return Error::Config { why };
        }
        if error.is_timeout() {
            why = format!("nothing within {} s", deadline.as_secs());
        }
        Error::AnswerLost { server, why, write }
    }
}

/// The innermost cause; never the URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut here: &dyn std::error::Error = error;
    // The depth is bounded so that a cycle cannot hold us.
    for _ in 0..16 {
        match here.source() {
            Some(inner) => here = inner,
            None => break,
        }
    }
    words(&here.to_string())
}

/// A server's words on one line, cut.
fn words(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

fn data(kind: Kind, record: RecordJson) -> Data {
    let text = record.content;
    if record.disabled {
        return Data::Other(kind, format!("{text}{DISABLED}"));
    }
    let known = match kind {
        Kind::A => text.parse().ok().map(Data::A),
        Kind::Aaaa => text.parse().ok().map(Data::Aaaa),
        Kind::Ptr => text.parse().ok().map(Data::Ptr),
        Kind::Srv => srv(&text),
        Kind::Txt => txt::strings(&text).map(Data::Txt),
        Kind::Cname => None,
    };
    known.unwrap_or(Data::Other(kind, text))
}

fn srv(text: &str) -> Option<Data> {
    let words: Vec<&str> = text.split(' ').collect();
    let [priority, weight, port, target] = words.as_slice() else { return None };
    Some(Data::Srv {
        priority: priority.parse().ok()?,
        weight: weight.parse().ok()?,
        port: port.parse().ok()?,
        target: target.parse().ok()?,
    })
}

fn record(data: &Data) -> RecordJson {
    let text = data.to_string();
    match (data, text.strip_suffix(DISABLED)) {
        (Data::Other(..), Some(text)) => RecordJson { content: text.to_owned(), disabled: true },
        _ => RecordJson { content: text, disabled: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_as_they_were_read() {
        for (kind, text, disabled) in [
            (Kind::A, "10.0.0.5", false),
            (Kind::A, "10.0.0.5", true),
            (Kind::Aaaa, "2001:db8::5", false),
            (Kind::Srv, "0 100 8080 web-0.lab.example.", false),
            (Kind::Srv, "0 0 0 .", false),
            (Kind::Txt, "\"a b\" \"c\"", false),
            (Kind::Ptr, "web-0.lab.example.", false),
            (Kind::Cname, "b.example.", false),
        ] {
            let back = record(&data(kind, RecordJson { content: text.into(), disabled }));
            assert_eq!((back.content.as_str(), back.disabled), (text, disabled));
        }
    }
}
