//! Silences at Alertmanager, by its API version 2. Whose answer was lost is found by its mark in the comment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::BoxFuture;
use gantry_core::alert::Mirror;
use gantry_engine::Silencer;
use reqwest::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::Hook;

/// Longest until a connection stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Longest for one call.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer read, bytes.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// A silence is said to begin this much earlier, so that clocks that differ do not delay it; Alertmanager takes its own
/// time for one that began before.
const EARLIER_MS: i64 = 24 * 3_600_000;

/// The Alertmanagers that can be told.
pub struct Alertmanagers {
    client: Client,
    by_hook: BTreeMap<String, (Url, Option<Secret<String>>)>,
}

impl std::fmt::Debug for Alertmanagers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alertmanagers").field("hooks", &self.by_hook.keys()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Known {
    id: String,
    #[serde(default)]
    comment: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

#[derive(Deserialize)]
struct Fires {
    fingerprint: String,
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "silenceID")]
    id: String,
}

impl Alertmanagers {
    /// Those of the hooks that say where theirs is.
    ///
    /// # Errors
    /// When HTTP cannot be set up.
    pub fn new(hooks: &[Hook]) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(CALL_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        let of = |h: &Hook| Some((h.name.clone(), (h.url.clone()?, h.url_token.clone())));
        Ok(Self { client, by_hook: hooks.iter().filter_map(of).collect() })
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.by_hook.is_empty()
    }

    /// Asks each whether it answers and takes the token.
    pub async fn check(&self) -> Vec<(String, Result<(), String>)> {
        let mut all = Vec::new();
        for hook in self.by_hook.keys() {
            let asked = match self.call(http::Method::GET, hook, "status") {
                Ok(call) => answer(call).await,
                Err(why) => Err(why),
            };
            let said = asked.and_then(|(status, body)| match status {
                200 => Ok(()),
                _ => Err(refused(status, &body)),
            });
            all.push((hook.clone(), said));
        }
        all
    }

    fn call(&self, method: http::Method, hook: &str, path: &str) -> Result<RequestBuilder, String> {
        let (url, token) =
            self.by_hook.get(hook).ok_or_else(|| format!("no Alertmanager is known for {hook}"))?;
        let url = format!("{}/api/v2/{path}", url.as_str().trim_end_matches('/'));
        let call = self.client.request(method, url);
        Ok(match token {
            Some(token) => call.bearer_auth(token.expose_secret()),
            None => call,
        })
    }
}

async fn answer(call: RequestBuilder) -> Result<(u16, Vec<u8>), String> {
    let broken = |e: reqwest::Error| match () {
        () if e.is_timeout() => "Alertmanager did not answer in time".to_owned(),
        () if e.is_connect() => "Alertmanager cannot be reached".to_owned(),
        () => "the connection to Alertmanager broke".to_owned(),
    };
    let mut response: Response = call.send().await.map_err(broken)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err("Alertmanager's answer is too large".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}

/// What an answer says that is no success.
fn refused(status: u16, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    format!("Alertmanager answered {status}: {}", text.trim())
}

fn time(ms: i64) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `alertname="NodeDown"`, as filters of the API are written.
fn filter(label: &str, value: &str) -> String {
    format!("{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn body(mirror: &Mirror) -> Value {
    let matchers: Vec<Value> = mirror
        .labels
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true}))
        .collect();
    json!({
        "matchers": matchers,
        "startsAt": time(mirror.from_ms - EARLIER_MS),
        "endsAt": time(mirror.until_ms),
        "createdBy": format!("gantry ({})", mirror.by),
        "comment": mirror.comment,
    })
}

impl Silencer for Alertmanagers {
    fn hooks(&self) -> Vec<String> {
        self.by_hook.keys().cloned().collect()
    }

    fn find<'a>(&'a self, mirror: &'a Mirror) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let mut call = self.call(http::Method::GET, &mirror.hook, "silences")?;
            if let Some(name) = mirror.labels.get("alertname") {
                call = call.query(&[("filter", filter("alertname", name))]);
            }
            let (status, body) = answer(call).await?;
            if status != 200 {
                return Err(refused(status, &body));
            }
            let known: Vec<Known> = serde_json::from_slice(&body)
                .map_err(|_| "Alertmanager's list of silences cannot be read".to_owned())?;
            let mark = format!("[gantry {}]", mirror.id);
            let holds = |s: &Known| s.status.state != "expired" && s.comment.contains(&mark);
            Ok(known.into_iter().find(holds).map(|s| s.id))
        })
    }

    fn make<'a>(&'a self, mirror: &'a Mirror) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let call = self.call(http::Method::POST, &mirror.hook, "silences")?;
            let (status, text) = answer(call.json(&body(mirror))).await?;
            if status != 200 {
                return Err(refused(status, &text));
            }
            let made: Made = serde_json::from_slice(&text)
                .map_err(|_| "Alertmanager did not say which silence it made".to_owned())?;
            Ok(made.id)
        })
    }

    fn alerts<'a>(&'a self, hook: &'a str) -> BoxFuture<'a, Result<BTreeSet<String>, String>> {
        Box::pin(async move {
            let (status, body) = answer(self.call(http::Method::GET, hook, "alerts")?).await?;
            if status != 200 {
                return Err(refused(status, &body));
            }
            let all: Vec<Fires> = serde_json::from_slice(&body)
                .map_err(|_| "Alertmanager's list of alerts cannot be read".to_owned())?;
            Ok(all.into_iter().map(|a| a.fingerprint).collect())
        })
    }

    fn end<'a>(&'a self, hook: &'a str, silence: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let one = format!("silence/{silence}");
            let (status, body) = answer(self.call(http::Method::GET, hook, &one)?).await?;
            match status {
                404 => return Ok(()),
                200 => {}
                _ => return Err(refused(status, &body)),
            }
            let known: Known = serde_json::from_slice(&body)
                .map_err(|_| "Alertmanager's silence cannot be read".to_owned())?;
            if known.status.state == "expired" {
                return Ok(());
            }
            let (status, body) = answer(self.call(http::Method::DELETE, hook, &one)?).await?;
            if status == 200 { Ok(()) } else { Err(refused(status, &body)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_names_every_label_exactly() {
        let mirror = Mirror {
            id: "si_x-0".into(),
            mute: "si_01HF7YAT00000000000000000C".parse().unwrap(),
            hook: "prom".into(),
            labels: [("alertname", "Node \"x\" Down"), ("node", "pve1")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            from_ms: 1_700_000_000_000,
            until_ms: 1_700_003_600_000,
            by: "olga".into(),
            comment: "silenced by olga [gantry si_x-0]".into(),
        };
        let body = body(&mirror);
        assert_eq!(body["endsAt"], "2023-11-14T23:13:20.000Z");
        assert_eq!(body["matchers"].as_array().map(Vec::len), Some(2));
        assert_eq!(body["matchers"][1]["isRegex"], false);
        assert_eq!(filter("alertname", "a\"b\\"), "alertname=\"a\\\"b\\\\\"");
    }
}
