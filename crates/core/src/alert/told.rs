//! What somebody else says is wrong: Alertmanager, Proxmox's own notifications, any program with a webhook.
//!
//! It goes through the same rules, incidents, silences and routes as what gantry sees itself. Nothing of it is trusted:
//! texts are cut, names of nodes and guests count only where the cluster has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Excuse, Metric, Phase, Reading, Sample, Severity, Subject, Tracked};
use crate::id::{ClusterId, NodeName, Vmid};
use crate::world::ClusterView;

/// Longest name or headline, characters.
const NAME_MAX: usize = 80;
/// Longest detail, characters.
const DETAIL_MAX: usize = 400;
/// Most labels kept of one alert.
const LABELS_MAX: usize = 32;
/// Longest label value kept, characters: one that is cut could not be silenced where it comes from.
const LABEL_MAX: usize = 256;
/// Characters of the digest that ends a key that is too long.
const DIGEST: usize = 24;

/// How a key begins that gantry made because its sender had none: the sender's own list of alerts does not know it.
pub const OWN_KEY: &str = "labels:";

/// What is said about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeardState {
    /// It is so, until it is said to be over.
    Firing,
    /// It is over.
    Resolved,
    /// It happened; there is no end to it.
    Event,
}

/// Where an alert comes from and how its sender puts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The hook it came through.
    pub hook: String,
    /// Alerts of one group are one incident.
    pub group: String,
    /// The headline of its messages.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Where more is written.
    #[serde(default)]
    pub runbook: Option<String>,
    /// The labels it has at Alertmanager; empty for others. A silence names all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What it is known by where it comes from.
    pub key: String,
    /// What it is about, for people.
    pub name: String,
    /// What is said.
    pub state: HeardState,
    /// When it was so, by the sender's clock, milliseconds.
    pub at_ms: i64,
    /// More about it.
    #[serde(default)]
    pub detail: String,
    /// Which cluster it is about.
    pub cluster: ClusterId,
    /// Which node, as the sender calls it.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// Which guest.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// What kind of task it reports, such as `vzdump`: gantry watches some itself.
    #[serde(default)]
    pub task: Option<String>,
    /// The rest.
    pub told: Told,
}

/// A text as it may stand in a message: one line, no control characters, cut.
pub fn plain(text: &str, max: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = one_line.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= max {
        return text;
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// A key as it is kept. One that is too long ends with a digest of all of it: two that differ only there stay two.
fn kept_key(text: &str) -> String {
    let whole = plain(text, usize::MAX);
    if whole.chars().count() <= LABEL_MAX {
        return whole;
    }
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    let head = whole.chars().take(LABEL_MAX - 1 - DIGEST);
    head.chain(['…']).chain(digest.chars().take(DIGEST)).collect()
}

impl Heard {
    /// The same within all limits. Labels that are too long or too many are left out, all of them: a silence with fewer
    /// labels would be wider than what was asked for.
    #[must_use]
    pub fn limited(mut self) -> Self {
        self.key = kept_key(&self.key);
        self.name = plain(&self.name, NAME_MAX);
        self.detail = plain(&self.detail, DETAIL_MAX);
        self.told.group = kept_key(&self.told.group);
        self.told.title = plain(&self.told.title, NAME_MAX);
        if self.told.title.is_empty() {
            self.told.title = "Alert".into();
        }
        if self.name.is_empty() {
            self.name = self.cluster.to_string();
        }
        let good = |url: &String| url.starts_with("https://") && url.len() <= 300;
        self.told.runbook = self.told.runbook.filter(good);
        let long = |text: &String| text.chars().count() > LABEL_MAX;
        let labels = &self.told.labels;
        if labels.len() > LABELS_MAX || labels.iter().any(|(k, v)| long(k) || long(v)) {
            self.told.labels.clear();
        }
        self
    }

    /// The word that an alert still fires, where its sender has it and did not say so again.
    pub fn again(t: &Tracked, now_ms: i64) -> Option<Self> {
        Self::over(t, now_ms).map(|heard| Self { state: HeardState::Firing, ..heard })
    }

    /// The word that an alert is over, where its sender no longer has it and did not say so.
    pub fn over(t: &Tracked, now_ms: i64) -> Option<Self> {
        let told = t.told.as_deref().filter(|_| t.phase == Phase::Firing)?;
        let key = t.subject.id.strip_prefix(&told.hook)?.strip_prefix(':')?;
        Some(Self {
            key: key.to_owned(),
            name: t.subject.name.clone(),
            state: HeardState::Resolved,
            at_ms: now_ms,
            detail: t.detail.clone(),
            cluster: t.subject.cluster.clone(),
            node: t.subject.node.clone(),
            vmid: t.subject.vmid,
            task: None,
            told: told.clone(),
        })
    }

    /// What makes it the same thing said again: a retry, or a reminder.
    pub fn identity(&self) -> String {
        let state = match self.state {
            HeardState::Firing => "firing",
            HeardState::Resolved => "resolved",
            HeardState::Event => "event",
        };
        let Told { hook, severity, title, .. } = &self.told;
        // An event has no key of its sender's that says whether it is the same one.
        let more = match self.state {
            HeardState::Event => format!("{severity}\n{title}\n{}", self.detail),
            _ => String::new(),
        };
        format!("{hook}\n{}\n{state}\n{}\n{more}", self.key, self.at_ms)
    }

    /// The value as rules look at it.
    fn sample(&self, view: Option<&ClusterView>, seen: Option<Excuse>) -> Sample {
        let node =
            self.node.as_ref().and_then(|n| view.and_then(|v| v.node(n))).map(|n| n.name.clone());
        let guest = self.vmid.and_then(|vmid| view.and_then(|v| v.guest(vmid)));
        let id = format!("{}:{}", self.told.hook, self.key);
        let subject = Subject::outside(&self.cluster, &id, &self.name, node, guest);
        let (metric, value) = match self.state {
            HeardState::Firing => (Metric::Told, 1.0),
            HeardState::Resolved => (Metric::Told, 0.0),
            HeardState::Event => (Metric::ToldEvent, 1.0),
        };
        let mut sample = Sample::new(subject, metric, value).detail(self.detail.clone());
        sample.told = Some(Box::new(self.told.clone()));
        sample.excuse = seen;
        sample
    }
}

/// Readings of what was said, oldest first. Each subject stands in each at most once, so that what begins and ends at
/// once is still seen to have begun. `seen` says why gantry knows of something by itself.
pub fn readings<'a>(
    cluster: &ClusterId,
    view: Option<&ClusterView>,
    heard: impl IntoIterator<Item = &'a Heard>,
    seen: impl Fn(&Heard) -> Option<Excuse>,
    now_ms: i64,
) -> Vec<Reading> {
    let empty = || Reading {
        cluster: cluster.clone(),
        at_ms: now_ms,
        covers: Vec::new(),
        samples: Vec::new(),
    };
    let mut all: Vec<Reading> = Vec::new();
    let mut there = std::collections::BTreeSet::new();
    let mut reading = empty();
    for one in heard {
        let sample = one.sample(view, seen(one));
        if !there.insert(sample.subject.key()) {
            all.push(std::mem::replace(&mut reading, empty()));
            there = std::collections::BTreeSet::from([sample.subject.key()]);
        }
        reading.samples.push(sample);
    }
    all.push(reading);
    all
}
