//! Proxmox's own notifications: the notification target and the matcher through which a cluster tells gantry, what they
//! shall be, and how they are made so. The target's secret is no part of anything here.

mod plan;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::hash;

pub use plan::plan;
pub use step::{NotifyAction, NotifyStep};

/// Longest name of a hook that can be set up: Proxmox takes names of targets and matchers of 2 to 32 characters
/// (proxmox-notify, `ENTITY_NAME_SCHEMA`).
pub const HOOK_NAME_MAX: usize = 32 - MATCHER_PREFIX.len();
/// What the secret is called in the target; its value is sent with the call and kept nowhere.
pub const SECRET: &str = "token";
/// The body of the webhook target. `escape` and `json` are helpers of Proxmox's template engine.
pub const BODY: &str = r#"{"title":"{{ escape title }}","message":"{{ escape message }}","severity":"{{ severity }}","timestamp":{{ timestamp }},"fields":{{ json fields }}}"#;

/// The headline of the test that Proxmox sends through a target.
pub const TEST_TITLE: &str = "Test notification";

const TARGET_PREFIX: &str = "gantry-";
/// A target and a matcher cannot have the same name: Proxmox keeps both in one file, by name.
const MATCHER_PREFIX: &str = "match-gantry-";
const HEADERS: [(&str, &str); 2] =
    [("Authorization", "Bearer {{ secrets.token }}"), ("Content-Type", "application/json")];

/// The name of the notification target of a hook.
pub fn target_name(hook: &str) -> String {
    format!("{TARGET_PREFIX}{hook}")
}

/// The name of the matcher of a hook.
pub fn matcher_name(hook: &str) -> String {
    format!("{MATCHER_PREFIX}{hook}")
}

/// Where a hook is reached: `https://gantry.example.org/hooks/proxmox/pve`.
pub fn address(base: &str, hook: &str) -> String {
    format!("{}/hooks/proxmox/{hook}", base.trim_end_matches('/'))
}

/// What makes an object gantry's own.
fn mark(hook: &str) -> String {
    format!("gantry: hook {hook},")
}

/// The comment of an object of gantry's. `stamp` is another one each time it is written, so that a write whose answer
/// was lost can be seen, also one that changed the secret alone. At most 128 characters.
pub fn comment(hook: &str, stamp: &str) -> String {
    format!("{} set {stamp}", mark(hook))
}

/// A notification target of the type webhook as Proxmox tells of it; its secret it never tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where it sends to.
    pub url: String,
    /// `post`, `put` or `get`.
    pub method: String,
    /// Headers by name with their templates.
    pub headers: BTreeMap<String, String>,
    /// The template of its body.
    pub body: String,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// Its comment.
    pub comment: String,
    /// Whether it is switched off.
    pub disabled: bool,
}

impl Target {
    /// What it shall be.
    pub fn wanted(hook: &str, url: &str, stamp: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: "post".to_owned(),
            headers: HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: BODY.to_owned(),
            secrets: vec![SECRET.to_owned()],
            comment: comment(hook, stamp),
            disabled: false,
        }
    }

    /// Whether it is what it shall be, whenever it was written.
    pub fn is_right(&self, hook: &str, url: &str) -> bool {
        let wanted = Self { comment: self.comment.clone(), ..Self::wanted(hook, url, "") };
        self.is_ours(hook) && *self == wanted
    }

    /// Whether its comment says that gantry made it.
    pub fn is_ours(&self, hook: &str) -> bool {
        self.comment.starts_with(&mark(hook))
    }

    /// Tells it from what it is at another time.
    pub fn fingerprint(&self) -> String {
        hash(&serde_json::json!(self))
    }
}

/// A matcher as Proxmox tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// The targets it sends to.
    pub targets: Vec<String>,
    /// What it lets through, by Proxmox's names (`match-severity`, `match-field`, `match-calendar`); empty: everything.
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

impl Matcher {
    /// What it shall be: everything goes to gantry, whose own rules decide what people read.
    pub fn wanted(hook: &str, stamp: &str) -> Self {
        Self { targets: vec![target_name(hook)], comment: comment(hook, stamp), ..Self::default() }
    }

    /// Whether it is what it shall be, whenever it was written.
    pub fn is_right(&self, hook: &str) -> bool {
        self.is_ours(hook)
            && *self == Self { comment: self.comment.clone(), ..Self::wanted(hook, "") }
    }

    /// Whether its comment says that gantry made it.
    pub fn is_ours(&self, hook: &str) -> bool {
        self.comment.starts_with(&mark(hook))
    }

    /// Tells it from what it is at another time.
    pub fn fingerprint(&self) -> String {
        hash(&serde_json::json!(self))
    }

    /// What it lets through, as people read it.
    pub fn shown_filter(&self) -> String {
        if self.filters.is_empty() {
            return if self.inverted { "nothing" } else { "every notification" }.to_owned();
        }
        let filters: Vec<String> = self
            .filters
            .iter()
            .map(|(name, values)| {
                format!("{} {}", name.trim_start_matches("match-"), values.join(", "))
            })
            .collect();
        let how = if self.any { " or " } else { " and " };
        let not = if self.inverted { "all but " } else { "" };
        format!("{not}{}", filters.join(how))
    }
}

/// What a cluster has of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Now {
    /// The notification target.
    pub target: Option<Target>,
    /// The matcher.
    pub matcher: Option<Matcher>,
    /// Other matchers that send to that target.
    pub others: Vec<String>,
}

impl Now {
    /// What is so, as a sentence.
    pub fn shown(&self, hook: &str, url: &str) -> String {
        let state = |there: bool, right: bool, ours: bool| match (there, right, ours) {
            (false, ..) => "is not there",
            (_, true, _) => "is as it shall be",
            (_, _, true) => "was changed by somebody",
            _ => "is not gantry's",
        };
        let (t, m) = (self.target.as_ref(), self.matcher.as_ref());
        format!(
            "The notification target {} {}; the matcher {} {}.",
            target_name(hook),
            state(
                t.is_some(),
                t.is_some_and(|t| t.is_right(hook, url)),
                t.is_some_and(|t| t.is_ours(hook))
            ),
            matcher_name(hook),
            state(
                m.is_some(),
                m.is_some_and(|m| m.is_right(hook)),
                m.is_some_and(|m| m.is_ours(hook))
            ),
        )
    }
}

/// An address as it may be shown: what follows the path may be somebody's secret.
pub fn shown_url(url: &str) -> String {
    let (head, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let cut = rest.find(['?', '#']);
    let (rest, more) = match cut {
        Some(at) => (rest.get(..at).unwrap_or_default(), "?…"),
        None => (rest, ""),
    };
    let (host, path) = match rest.find('/') {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at..).unwrap_or_default()),
        None => (rest, ""),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{head}{host}{path}{more}")
}
