//! Notifications: webhook targets and matchers as one file keeps them, the template language of webhooks, and sending.
//!
//! Written from proxmox-notify's source. Only plain HTTP to 127.0.0.0/8 is ever spoken; whatever else is asked for fails
//! as an unreachable network would. Values of secrets never leave but in a request.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::Shared;
use crate::state::State;

/// How often what nodes want to tell is looked for.
const LOOK_MS: u64 = 50;
/// Longest a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most of an answer that is read.
const ANSWER_MAX: usize = 4096;

/// Settings by their API names.
pub(crate) type Options = BTreeMap<String, Value>;

/// A webhook target: what everybody may read, and its secrets in Base64.
#[derive(Debug, Clone, Default)]
pub(crate) struct Webhook {
    pub(crate) options: Options,
    pub(crate) secrets: BTreeMap<String, String>,
}

/// The notification configuration of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    pub(crate) webhooks: BTreeMap<String, Webhook>,
    pub(crate) matchers: BTreeMap<String, Options>,
    /// What a test that was just asked for has to send before it is answered.
    pub(crate) asked: Option<Result<Post, String>>,
    /// What is on its way because something happened.
    outbox: Vec<Post>,
}

/// Something a node notices.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) fields: BTreeMap<String, String>,
    /// Seconds since the epoch.
    pub(crate) at: i64,
}

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    secrets: Vec<String>,
}

/// The texts of a list that may have come as one.
pub(crate) fn many(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// `name=X,value=Y`; Y may be absent and may hold `=`.
pub(crate) fn pair(text: &str) -> (String, Option<String>) {
    let part = |key: &str| text.split(',').find_map(|p| p.strip_prefix(key)).map(str::to_owned);
    (part("name=").unwrap_or_default(), part("value="))
}

pub(crate) fn decoded(text: &str) -> Option<String> {
    BASE64_STANDARD.decode(text).ok().and_then(|b| String::from_utf8(b).ok())
}

impl Notifications {
    /// SHA-256 of what stands in the file that everybody may read.
    pub(crate) fn digest(&self) -> String {
        let public: BTreeMap<&String, &Options> =
            self.webhooks.iter().map(|(name, w)| (name, &w.options)).collect();
        let text = json!([public, self.matchers]).to_string();
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    fn matching<'a>(&'a self, notice: &'a Notice) -> impl Iterator<Item = &'a Webhook> {
        let mut targets: Vec<String> = self
            .matchers
            .values()
            .filter(|m| m.get("disable") != Some(&json!("1")) && matches(m, notice))
            .flat_map(|m| many(m.get("target")))
            .collect();
        targets.sort();
        targets.dedup();
        self.webhooks
            .iter()
            .filter(move |(name, w)| {
                targets.contains(name) && w.options.get("disable") != Some(&json!("1"))
            })
            .map(|(_, w)| w)
    }

    /// Puts what happened on its way to every target that a matcher names for it.
    pub(crate) fn tell(&mut self, notice: &Notice) {
        let posts: Vec<Post> = self.matching(notice).filter_map(|w| w.post(notice).ok()).collect();
        self.outbox.extend(posts);
    }
}

fn matches(matcher: &Options, notice: &Notice) -> bool {
    let mut found = Vec::new();
    for severities in many(matcher.get("match-severity")) {
        found.push(severities.split(',').any(|s| s.trim() == notice.severity));
    }
    for field in many(matcher.get("match-field")) {
        let (kind, rest) = field.split_once(':').unwrap_or(("exact", field.as_str()));
        let (name, wanted) = rest.split_once('=').unwrap_or((rest, ""));
        let value = notice.fields.get(name).map(String::as_str);
        found.push(match kind {
            "regex" => {
                value.is_some_and(|v| regex::Regex::new(wanted).is_ok_and(|r| r.is_match(v)))
            }
            _ => value.is_some_and(|v| wanted.split(',').any(|w| w == v)),
        });
    }
    let any = matcher.get("mode") == Some(&json!("any"));
    let met = match any {
        true if !found.is_empty() => found.iter().any(|f| *f),
        _ => found.iter().all(|f| *f),
    };
    met != (matcher.get("invert-match") == Some(&json!("1")))
}

impl Webhook {
    fn text(&self, key: &str) -> String {
        self.options.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The request that a notice comes to.
    ///
    /// # Errors
    /// What is wrong with its templates.
    pub(crate) fn post(&self, notice: &Notice) -> Result<Post, String> {
        let secrets: Map<String, Value> = self
            .secrets
            .iter()
            .map(|(name, value)| (name.clone(), json!(decoded(value).unwrap_or_default())))
            .collect();
        let data = json!({
            "title": notice.title,
            "message": notice.message,
            "severity": notice.severity,
            "timestamp": notice.at,
            "fields": notice.fields,
            "secrets": secrets,
        });
        let body = decoded(&self.text("body"))
            .ok_or("could not decode base64 value: Invalid symbol 0, offset 0.")?;
        let mut headers = Vec::new();
        for header in many(self.options.get("header")) {
            let (name, value) = pair(&header);
            let value = value.as_deref().and_then(decoded).unwrap_or_default();
            headers.push((name, render(&value, &data)?));
        }
        Ok(Post {
            method: self.text("method").to_uppercase(),
            url: render(&self.text("url"), &data)?,
            headers,
            body: render(&body, &data)?,
            secrets: self.secrets.values().filter_map(|s| decoded(s)).collect(),
        })
    }
}

/// What the helper `url-encode` leaves alone is everything but these and what is not ASCII.
const URL_ENCODED: &AsciiSet = &CONTROLS
    .add(b':')
    .add(b'/')
    .add(b'?')
    .add(b'#')
    .add(b'[')
    .add(b']')
    .add(b'@')
    .add(b'!')
    .add(b'$')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b';')
    .add(b'=')
    .add(b'%')
    .add(b' ');

/// Fills `{{ path }}` and `{{ helper path }}`; nothing else of the template language is known here.
fn render(template: &str, data: &Value) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((inner, tail)) = after.split_once("}}") else {
            return Err("failed to render webhook body: invalid handlebars syntax".to_owned());
        };
        let find = |path: &str| path.split('.').try_fold(data, |at, key| at.get(key));
        let words: Vec<&str> = inner.split_whitespace().collect();
        match words.as_slice() {
            [path] => match find(path) {
                Some(Value::String(text)) => out.push_str(text),
                Some(Value::Null) | None => {}
                Some(Value::Object(_)) => out.push_str("[object]"),
                Some(other) => out.push_str(&other.to_string()),
            },
            ["json", path] => out.push_str(&find(path).unwrap_or(&Value::Null).to_string()),
            [helper @ ("escape" | "url-encode"), path] => {
                let text = find(path).and_then(Value::as_str).ok_or_else(|| {
                    format!("failed to render webhook body: {helper}: missing parameter")
                })?;
                if *helper == "escape" {
                    let quoted = json!(text).to_string();
                    out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
                } else {
                    out.push_str(&utf8_percent_encode(text, URL_ENCODED).to_string());
                }
            }
            _ => {
                return Err(format!(
                    "failed to render webhook body: Helper not defined: \"{}\"",
                    words.first().unwrap_or(&"")
                ));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

impl Post {
    /// Sends it once.
    ///
    /// # Errors
    /// Why it was not taken, without the values of secrets.
    pub(crate) async fn send(&self) -> Result<(), String> {
        let sent = match tokio::time::timeout(PATIENCE, self.try_send()).await {
            Ok(sent) => sent,
            Err(_) => Err("Network Error: timed out reading response".to_owned()),
        };
        sent.map_err(|why| {
            let text = format!("{}: {why}", self.url);
            self.secrets.iter().fold(text, |text, secret| text.replace(secret, "<masked>"))
        })
    }

    async fn try_send(&self) -> Result<(), String> {
        let refused =
            |why: &dyn std::fmt::Display| format!("Connection Failed: Connect error: {why}");
        let unreachable = || refused(&"Network is unreachable (os error 101)");
        let rest = self.url.strip_prefix("http://").ok_or_else(unreachable)?;
        let (host, path) = match rest.find('/') {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at..).unwrap_or("/")),
            None => (rest, "/"),
        };
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        let ip = if name == "localhost" { Some(Ipv4Addr::LOCALHOST) } else { name.parse().ok() };
        let ip = ip.filter(Ipv4Addr::is_loopback).ok_or_else(unreachable)?;
        let port: u16 = port.parse().map_err(|_| unreachable())?;
        let mut stream =
            TcpStream::connect(SocketAddr::from((ip, port))).await.map_err(|e| refused(&e))?;
        let mut head = format!("{} {path} HTTP/1.1\r\nHost: {host}\r\n", self.method);
        for (name, value) in &self.headers {
            if name.contains(['\r', '\n']) || value.contains(['\r', '\n']) {
                return Err("failed to build http request: invalid header value".to_owned());
            }
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.len()));
        head.push_str(&self.body);
        let broken = |e: std::io::Error| format!("Network Error: {e}");
        stream.write_all(head.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        let mut limited = stream.take(ANSWER_MAX as u64);
        limited.read_to_end(&mut answer).await.map_err(broken)?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.split_whitespace().nth(1).and_then(|s| s.parse::<u16>().ok());
        match status {
            Some(200..=399) => Ok(()),
            Some(status) => Err(format!("status code {status}")),
            None => Err("Network Error: Unexpected EOF".to_owned()),
        }
    }
}

impl State {
    /// A node notices something.
    pub(crate) fn notice(
        &mut self,
        node: &str,
        kind: &str,
        severity: &str,
        title: &str,
        message: &str,
    ) {
        let fields =
            BTreeMap::from([("type", kind), ("hostname", node)].map(|(k, v)| (k.into(), v.into())));
        let notice = Notice {
            severity: severity.to_owned(),
            title: title.to_owned(),
            message: message.to_owned(),
            fields,
            at: self.now() as i64,
        };
        self.notify.tell(&notice);
    }

    /// What a backup that has just ended makes its node tell.
    pub(crate) fn notice_backup(&mut self, node: &str, exit: &str) {
        let good = exit == "OK";
        let (severity, status) = if good {
            ("info", "backup successful".to_owned())
        } else {
            ("error", format!("backup failed: {exit}"))
        };
        let title = format!("vzdump backup status ({node}): {status}");
        self.notice(node, "vzdump", severity, &title, "Details\n=======\nsee the task's log\n");
    }
}

/// Sends what nodes tell, until the twin stops. What is not taken is dropped, as by the real server.
pub(crate) async fn serve(shared: Arc<Shared>) {
    loop {
        let posts = std::mem::take(&mut shared.lock().notify.outbox);
        for post in posts {
            tokio::spawn(async move {
                if let Err(why) = post.send().await {
                    tracing::debug!(%why, "a notification was not taken");
                }
            });
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_the_real_ones() {
        let data = json!({"title": "a \"b\"\n", "timestamp": 5, "fields": {"x": "y z"}, "secrets": {"t": "s"}});
        let cases = [
            ("{{ escape title }}", "a \\\"b\\\"\\n"),
            ("{{ timestamp }}{{nothing}}", "5"),
            ("{{ json fields }}", "{\"x\":\"y z\"}"),
            ("{{ url-encode fields.x }}", "y%20z"),
            ("Bearer {{ secrets.t }}", "Bearer s"),
        ];
        for (template, wanted) in cases {
            assert_eq!(render(template, &data).unwrap(), wanted);
        }
        assert!(render("{{ upper title }}", &data).is_err());
    }
}
