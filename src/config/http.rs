//! `[http]`: whether health, metrics and webhooks are served, where, and who may.

use std::net::SocketAddr;

use gantry_core::id::ClusterId;
use gantry_http::{Hook, HookKind};
use secrecy::{ExposeSecret as _, Secret};
use url::Url;

use super::read::Section;

/// Shortest secret taken: whoever can reach the port can guess as often as they like.
const SECRET_MIN: usize = 16;
/// Most webhooks.
const HOOKS_MAX: usize = 50;

/// What is served over HTTP.
#[derive(Debug, Clone, Default)]
pub struct Http {
    /// Address and port; `None`: nothing is served.
    pub listen: Option<SocketAddr>,
    /// Who has it may read `/metrics`.
    pub token: Option<Secret<String>>,
    /// Where others reach it, such as nodes that send webhooks: the address of the TLS proxy before it, or its own.
    pub public_url: Option<Url>,
    /// Webhooks in.
    pub hooks: Vec<Hook>,
}

impl Http {
    /// Reads the section; `clusters` are the ids that may be named, `told` says whether anybody is told of alerts.
    pub(super) fn read(mut s: Section<'_>, clusters: &[ClusterId], told: bool) -> Self {
        let listen = s.may::<SocketAddr>("listen");
        let token = s.may_secret("token", "token_file");
        long_enough(&s, "token", token.as_ref());
        let open = listen.is_some_and(|at| !at.ip().is_loopback());
        if open && token.is_none() {
            s.mistake(
                "token",
                "is missing; an address that others can reach needs token_file for /metrics",
            );
        }
        let public_url = s.may::<Url>("public_url");
        if let Some(url) = &public_url {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                s.mistake("public_url", "must look like https://gantry.example.org");
            }
            let more = url.query().is_some() || url.fragment().is_some();
            if more || !url.username().is_empty() || url.password().is_some() {
                s.mistake("public_url", "is an address alone: no name, password, ? or #");
            }
        }
        let sections = s.sections("hooks");
        if sections.len() > HOOKS_MAX {
            s.mistake("hooks", format!("{} webhooks; at most {HOOKS_MAX}", sections.len()));
        }
        if !sections.is_empty() && listen.is_none() {
            s.mistake(
                "listen",
                "is missing; webhooks need an address: listen = \"127.0.0.1:9180\"",
            );
        }
        if !sections.is_empty() && !told {
            s.mistake("hooks", "nobody would be told; name a channel under [[alerts.servers]]");
        }
        s.finish();
        let mut hooks: Vec<Hook> = Vec::new();
        for section in sections {
            hooks.extend(hook(section, clusters, &hooks));
        }
        Self { listen, token, public_url, hooks }
    }
}

fn long_enough(s: &Section<'_>, key: &str, secret: Option<&Secret<String>>) {
    if secret.is_some_and(|t| t.expose_secret().len() < SECRET_MIN) {
        s.mistake(
            key,
            format!("is shorter than {SECRET_MIN} characters; `openssl rand -hex 32` makes one"),
        );
    }
}

fn hook(mut s: Section<'_>, clusters: &[ClusterId], before: &[Hook]) -> Option<Hook> {
    let (path, reader) = (s.path().to_owned(), s.reader());
    let name = s.need::<String>("name", "what it is called in its path: name = \"prom\"");
    if let Some(name) = &name {
        s.called(name);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(good) {
            s.mistake("name", "must be 1 to 32 letters, digits, - and _");
        }
        if before.iter().any(|h| h.name == *name) {
            reader.mistake(
                format!("{path}.name"),
                format!("`{name}` is another webhook's name already"),
            );
        }
    }
    let kind = s.need::<HookKind>("kind", "write \"alertmanager\", \"proxmox\" or \"generic\"");
    let named = s.may::<ClusterId>("cluster");
    let cluster = match (named, clusters) {
        (Some(id), _) if clusters.contains(&id) => Some(id),
        (Some(id), _) => {
            s.mistake("cluster", format!("no cluster has the id `{id}`"));
            None
        }
        (None, [only]) => Some(only.clone()),
        (None, _) => {
            s.mistake("cluster", "is missing; which cluster it is about where it does not say");
            None
        }
    };
    let token =
        s.secret("token", "token_file", "set token_file to a file that holds the sender's secret");
    long_enough(&s, "token", token.as_ref());
    let url = s.may::<Url>("url");
    let url_token = s.may_secret("url_token", "url_token_file");
    if let Some(url) = &url {
        if kind != Some(HookKind::Alertmanager) {
            s.mistake("url", "only an Alertmanager can be told of silences");
        }
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            s.mistake("url", "must look like http://127.0.0.1:9093");
        }
        if !url.username().is_empty() || url.password().is_some() {
            s.mistake("url", "holds a password; use url_token_file");
        }
    }
    s.finish();
    Some(Hook { name: name?, kind: kind?, cluster: cluster?, token: token?, url, url_token })
}
