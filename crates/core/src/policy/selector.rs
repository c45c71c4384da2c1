//! Which targets and verbs a rule covers, as people write it down.

use serde::{Deserialize, Serialize};

use super::{Effect, Target};
use crate::action::Verb;
use crate::id::{ClusterId, Vmid};

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) node: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) tags: &'a [String],
    pub(crate) pool: Option<&'a str>,
    pub(crate) vmid: Option<u32>,
    pub(crate) kind: Option<&'a str>,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Everything,
    Cluster(String),
    Node(String),
    Pool(String),
    Tag(String),
    Vmid(u32, u32),
    Name(String),
    Kind(String),
}

/// Which targets a rule covers: conditions that must all hold, separated by spaces.
///
/// `*`, `cluster:lab`, `node:pve1`, `pool:prod`, `tag:web`, `vmid:100-199`, `name:web-*`, `kind:lxc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    conditions: Vec<Condition>,
}

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a selector; write *, cluster:lab, node:pve1, pool:prod, tag:web, vmid:100-199, name:web-* or kind:lxc, several separated by spaces"
)]
pub struct BadSelector(String);

impl TryFrom<String> for Selector {
    type Error = BadSelector;
    fn try_from(text: String) -> Result<Self, BadSelector> {
        let bad = || BadSelector(text.chars().take(80).collect());
        let mut conditions = Vec::new();
        for word in text.split_whitespace() {
            let condition = match word.split_once(':') {
                None if word == "*" => Condition::Everything,
                None => return Err(bad()),
                Some((_, "")) => return Err(bad()),
                Some(("cluster", v)) => Condition::Cluster(v.to_owned()),
                Some(("node", v)) => Condition::Node(v.to_owned()),
                Some(("pool", v)) => Condition::Pool(v.to_owned()),
                Some(("tag", v)) => Condition::Tag(v.to_owned()),
                Some(("name", v)) => Condition::Name(v.to_owned()),
                Some(("kind", v @ ("lxc" | "qemu"))) => Condition::Kind(v.to_owned()),
                Some(("vmid", v)) => {
                    let (from, to) = v.split_once('-').unwrap_or((v, v));
                    let read = |s: &str| s.parse::<Vmid>().map(Vmid::get).map_err(|_| bad());
                    let (from, to) = (read(from)?, read(to)?);
                    if from > to {
                        return Err(bad());
                    }
                    Condition::Vmid(from, to)
                }
                Some(_) => return Err(bad()),
            };
            conditions.push(condition);
        }
        if conditions.is_empty() {
            return Err(bad());
        }
        Ok(Self { text, conditions })
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl Selector {
    /// The selector as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn covers(&self, target: Target<'_>, effect: Effect) -> bool {
        self.conditions.iter().all(|c| c.holds(target, effect))
    }

    /// Whether it covers something with these facts.
    pub(crate) fn fits(&self, facts: &Facts<'_>) -> bool {
        self.conditions.iter().all(|c| c.holds_for(facts))
    }

    /// Everything.
    pub fn everything() -> Self {
        Self { text: "*".to_owned(), conditions: vec![Condition::Everything] }
    }

    /// Whether nothing in `cluster`, or nothing at all without one, is outside of it.
    pub(super) fn covers_all(&self, cluster: Option<&ClusterId>) -> bool {
        self.conditions.iter().all(|c| match c {
            Condition::Everything => true,
            Condition::Cluster(want) => cluster.is_some_and(|c| c.as_str() == want),
            _ => false,
        })
    }
}

impl Condition {
    /// What is not known yet of a pod to come is never allowed and always denied, by whatever asks for it.
    fn holds(&self, target: Target<'_>, effect: Effect) -> bool {
        let deny = effect == Effect::Deny;
        if let Target::NewPod { nodes, vmids, .. } = target {
            match self {
                Self::Node(want) => return nodes.first().map_or(deny, |n| n.as_str() == want),
                Self::Vmid(from, to) => {
                    return vmids.map_or(deny, |(first, last)| match (first.get(), last.get()) {
                        (first, last) if deny => first <= *to && *from <= last,
                        (first, last) => *from <= first && last <= *to,
                    });
                }
                _ => {}
            }
        }
        let (cluster, node, name, tags, pool, vmid, kind) = match target {
            Target::Subject(s) => return self.holds_for(&s.rights()),
            Target::Any => return true,
            Target::Within(c) => {
                return match self {
                    Self::Cluster(want) => want == c.as_str(),
                    _ => true,
                };
            }
            Target::Cluster(c) => (c, None, None, &[][..], None, None, None),
            Target::Node(c, n) => (c, Some(n.as_str()), None, &[][..], None, None, None),
            Target::Guest(g) => (
                &g.cluster,
                Some(g.node.as_str()),
                Some(g.name.as_str()),
                g.tags.as_slice(),
                g.pool.as_deref(),
                Some(g.vmid.get()),
                Some(g.kind.as_str()),
            ),
            Target::NewPod { cluster, name, tags, pool, .. } => {
                (cluster, None, Some(name), tags, pool, None, Some("lxc"))
            }
        };
        self.holds_for(&Facts { cluster, node, name, tags, pool, vmid, kind })
    }

    fn holds_for(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Cluster(want) => want == facts.cluster.as_str(),
            Self::Node(want) => facts.node == Some(want.as_str()),
            Self::Pool(want) => facts.pool == Some(want.as_str()),
            // Proxmox folds tags to lower case, once they are set.
            Self::Tag(want) => facts.tags.iter().any(|t| t.eq_ignore_ascii_case(want)),
            Self::Vmid(from, to) => facts.vmid.is_some_and(|n| (*from..=*to).contains(&n)),
            Self::Name(pattern) => facts.name.is_some_and(|n| glob(pattern, n)),
            Self::Kind(want) => facts.kind == Some(want.as_str()),
        }
    }
}

/// Matches `*` (any run of characters) and `?` (one); everything else stands for itself.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut star, mut mark) = (0, 0, None, 0);
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            star = Some(i);
            mark = j;
            i += 1;
        } else if i < p.len() && (p[i] == '?' || p[i] == t[j]) {
            i += 1;
            j += 1;
        } else if let Some(s) = star {
            i = s + 1;
            mark += 1;
            j = mark;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Which verbs a rule covers: `*`, `guest.*`, `pod.delete`, or the word `read` for everything that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerbPattern(String);

/// A verb pattern that covers nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` covers no verb; write *, read, guest.*, pod.delete, …")]
pub struct BadVerbPattern(String);

impl TryFrom<String> for VerbPattern {
    type Error = BadVerbPattern;
    fn try_from(text: String) -> Result<Self, BadVerbPattern> {
        let pattern = Self(text);
        if Verb::ALL.iter().any(|v| pattern.covers(*v)) {
            Ok(pattern)
        } else {
            Err(BadVerbPattern(pattern.0.chars().take(80).collect()))
        }
    }
}

impl From<VerbPattern> for String {
    fn from(pattern: VerbPattern) -> Self {
        pattern.0
    }
}

impl VerbPattern {
    /// Whether it covers `verb`.
    pub fn covers(&self, verb: Verb) -> bool {
        match self.0.as_str() {
            "read" => !verb.writes(),
            pattern => glob(pattern, verb.as_str()),
        }
    }
}
