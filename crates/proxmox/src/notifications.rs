//! Proxmox's own notifications: webhook targets, matchers, and the call that has a target tested.
//!
//! Values of headers, bodies and secrets are Base64 in the API and plain here. The values of secrets are sent and never
//! read back: Proxmox gives their names only. Webhooks came with PVE 8.3; older servers answer 501.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use secrecy::{ExposeSecret as _, Secret};
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::form::{Form, PropertyString};
use crate::path::Path;

/// A webhook target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhook {
    /// Where it sends to; a template.
    pub url: String,
    /// `post`, `put` or `get`.
    pub method: String,
    /// Headers by name; their values are templates.
    pub headers: BTreeMap<String, String>,
    /// Its body; a template.
    pub body: String,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// Its comment.
    pub comment: String,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Of the file all targets and matchers stand in; empty before it is there.
    pub digest: String,
}

/// A matcher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Its name.
    pub name: String,
    /// The targets it sends to.
    pub targets: Vec<String>,
    /// What it lets through: `match-severity`, `match-field`, `match-calendar`; empty: everything.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Whether one filter is enough.
    pub any: bool,
    /// Whether it lets through what its filters do not.
    pub inverted: bool,
    /// Its comment.
    pub comment: String,
    /// Whether it is switched off.
    pub disabled: bool,
}

/// The kinds of filters, as the API calls them.
const FILTERS: [&str; 3] = ["match-severity", "match-field", "match-calendar"];

#[derive(Deserialize)]
struct RawWebhook {
    #[serde(default)]
    url: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    header: Many,
    #[serde(default)]
    body: String,
    #[serde(default)]
    secret: Many,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    disable: Value,
    #[serde(default)]
    digest: String,
}

/// A list, or one text where there is one only.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Many {
    #[default]
    None,
    One(String),
    Some(Vec<String>),
}

impl Many {
    fn all(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Some(all) => all,
        }
    }
}

fn yes(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_f64().is_some_and(|n| n != 0.0) || value == "1")
}

/// Text out of Base64; what is none stays as it is, so that it is seen to be something else.
fn plain(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok();
    bytes.and_then(|b| String::from_utf8(b).ok()).unwrap_or_else(|| text.to_owned())
}

/// `name=X,value=Y` in its parts; the value of a secret is left out by Proxmox. Base64 may hold `=`.
fn pair(text: &str) -> (String, String) {
    let mut name = String::new();
    let mut value = String::new();
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("name", given)) => name = given.to_owned(),
            Some(("value", given)) => value = given.to_owned(),
            _ => {}
        }
    }
    (name, value)
}

/// `name=X,value=Y` with Y in Base64, whose padding is no other key.
fn property(name: &str, value: &str) -> Result<String, Error> {
    let named = PropertyString::starting_with("name", name)?;
    Ok(format!("name={named},value={}", BASE64_STANDARD.encode(value)))
}

impl From<RawWebhook> for Webhook {
    fn from(raw: RawWebhook) -> Self {
        let headers = raw.header.all();
        Self {
            url: raw.url,
            method: raw.method,
            headers: headers.iter().map(|h| pair(h)).map(|(k, v)| (k, plain(&v))).collect(),
            body: plain(&raw.body),
            secrets: raw.secret.all().iter().map(|s| pair(s).0).collect(),
            comment: raw.comment,
            disabled: yes(&raw.disable),
            digest: raw.digest,
        }
    }
}

/// The value of a secret, on its way.
pub struct WebhookSecret<'a> {
    /// What it is called in templates.
    pub name: &'a str,
    /// Its value.
    pub value: &'a Secret<String>,
}

impl fmt::Debug for WebhookSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecret({}, …)", self.name)
    }
}

impl Webhook {
    /// All it has, so that a change leaves nothing as it was before. Its secrets are the one given.
    fn form(&self, secret: &WebhookSecret<'_>) -> Result<Form, Error> {
        let mut form = Form::new()
            .with("url", &self.url)
            .with("method", &self.method)
            .with("body", BASE64_STANDARD.encode(&self.body))
            .with("comment", &self.comment)
            .with_flag("disable", Some(self.disabled));
        for (name, value) in &self.headers {
            form.push("header", property(name, value)?);
        }
        form.push("secret", property(secret.name, secret.value.expose_secret())?);
        Ok(form)
    }
}

impl Matcher {
    fn read(object: &BTreeMap<String, Value>) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let many = |key: &str| match object.get(key) {
            Some(Value::Array(all)) => {
                all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let flag = |key: &str| object.get(key).is_some_and(yes);
        let filters = FILTERS.iter().map(|key| ((*key).to_owned(), many(key)));
        Self {
            name: text("name").to_owned(),
            targets: many("target"),
            filters: filters.filter(|(_, all)| !all.is_empty()).collect(),
            any: text("mode") == "any",
            inverted: flag("invert-match"),
            comment: text("comment").to_owned(),
            disabled: flag("disable"),
        }
    }

    /// All it has.
    fn form(&self) -> Form {
        let mut form = Form::new()
            .with("comment", &self.comment)
            .with_flag("disable", Some(self.disabled))
            .with_flag("invert-match", Some(self.inverted))
            .with("mode", if self.any { "any" } else { "all" });
        for target in &self.targets {
            form.push("target", target);
        }
        for (key, values) in &self.filters {
            for value in values {
                form.push(key, value);
            }
        }
        form
    }
}

fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Client {
    /// `GET /cluster/notifications/endpoints/webhook/{name}`; `None`: there is none of that name. Never shared.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotImplemented`] before PVE 8.3.
    pub async fn webhook(&self, name: &str) -> Result<Option<Webhook>, Error> {
        let call = self.get(webhook_path(name));
        Ok(found(self.fetch::<RawWebhook>(&call).await)?.map(Webhook::from))
    }

    /// `GET /cluster/notifications/matchers`. Never shared.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn matchers(&self) -> Result<Vec<Matcher>, Error> {
        let call = self.get(Path::fixed("/cluster/notifications/matchers"));
        let list: Option<Vec<BTreeMap<String, Value>>> = self.fetch(&call).await?;
        Ok(list.unwrap_or_default().iter().map(Matcher::read).collect())
    }

    /// The digest of the file targets and matchers stand in, as a matcher tells it; `None`: there is no such matcher.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn matcher_digest(&self, name: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            digest: String,
        }
        let call = self.get(matcher_path(name));
        Ok(found(self.fetch::<Raw>(&call).await)?.map(|raw| raw.digest))
    }

    /// Makes a webhook target.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_webhook(
        &self,
        name: &str,
        webhook: &Webhook,
        secret: &WebhookSecret<'_>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/notifications/endpoints/webhook");
        let mut call = self.change(Method::POST, path);
        call.body = webhook.form(secret)?.with("name", name);
        self.submit(&call).await.map(drop)
    }

    /// Makes a webhook target what is given; `digest` is the one that was read with what it was.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Conflict`] when a target or matcher was changed in between.
    pub async fn update_webhook(
        &self,
        name: &str,
        webhook: &Webhook,
        secret: &WebhookSecret<'_>,
        digest: &str,
    ) -> Result<(), Error> {
        let mut call = self.change(Method::PUT, webhook_path(name));
        let digest = Some(digest).filter(|d| !d.is_empty());
        call.body = webhook.form(secret)?.with_some("digest", digest);
        self.submit(&call).await.map(drop)
    }

    /// Removes a webhook target; no matcher may use it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_webhook(&self, name: &str) -> Result<(), Error> {
        self.submit(&self.change(Method::DELETE, webhook_path(name))).await.map(drop)
    }

    /// Makes a matcher.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_matcher(&self, matcher: &Matcher) -> Result<(), Error> {
        let path = Path::fixed("/cluster/notifications/matchers");
        let mut call = self.change(Method::POST, path);
        call.body = matcher.form().with("name", &matcher.name);
        self.submit(&call).await.map(drop)
    }

    /// Makes a matcher what is given; filters it does not have are taken away.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Conflict`] when a target or matcher was changed in between.
    pub async fn update_matcher(&self, matcher: &Matcher, digest: &str) -> Result<(), Error> {
        let mut call = self.change(Method::PUT, matcher_path(&matcher.name));
        let digest = Some(digest).filter(|d| !d.is_empty());
        call.body = matcher.form().with_some("digest", digest);
        for key in FILTERS.iter().filter(|key| !matcher.filters.contains_key(**key)) {
            call.body.push("delete", key);
        }
        self.submit(&call).await.map(drop)
    }

    /// Removes a matcher.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_matcher(&self, name: &str) -> Result<(), Error> {
        self.submit(&self.change(Method::DELETE, matcher_path(name))).await.map(drop)
    }

    /// Has Proxmox send a test through a target. It answers once that was delivered.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Undelivered`] when Proxmox could not deliver it.
    pub async fn test_notification(&self, target: &str) -> Result<(), Error> {
        let path = Path::fixed("/cluster/notifications/targets/{name}/test").with("{name}", target);
        self.submit(&self.change(Method::POST, path)).await.map(drop)
    }
}

fn webhook_path(name: &str) -> Path {
    Path::fixed("/cluster/notifications/endpoints/webhook/{name}").with("{name}", name)
}

fn matcher_path(name: &str) -> Path {
    Path::fixed("/cluster/notifications/matchers/{name}").with("{name}", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_survive_base64_with_padding() {
        let text = property("Authorization", "Bearer {{ secrets.token }}").unwrap();
        let (name, value) = pair(&text);
        assert_eq!(
            (name.as_str(), plain(&value).as_str()),
            ("Authorization", "Bearer {{ secrets.token }}")
        );
        assert_eq!(pair("name=token"), ("token".to_owned(), String::new()));
        assert!(property("a,b", "x").is_err());
    }

    #[test]
    fn a_secret_shows_its_name_only() {
        let value = Secret::new("canary".to_owned());
        let shown = format!("{:?}", WebhookSecret { name: "token", value: &value });
        assert_eq!(shown, "WebhookSecret(token, …)");
    }
}
