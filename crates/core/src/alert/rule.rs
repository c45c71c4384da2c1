//! Rules: when a value is bad, for how long, and how bad. The defaults are quiet; a server may override each of them.

use serde::{Deserialize, Serialize};

use super::{Metric, Severity, Subject};
use crate::id::{ChannelId, GuildId};
use crate::policy::Selector;

/// Most rules; each is held against each sample.
const RULES_MAX: usize = 200;
/// Most exceptions of one rule.
const EXCEPTIONS_MAX: usize = 100;
/// Longest time a value may have to hold: a day.
const HOLD_MAX_S: u32 = 86_400;
/// How long an event counts as firing where its rule does not say.
const EVENT_KEEP_S: u32 = 1800;
/// How long a value must be good before an alert is over, where its rule does not say.
const CALM_S: u32 = 30;

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called: `storage-full`.
    pub id: String,
    /// The headline of its messages.
    pub title: String,
    /// What it looks at.
    pub metric: Metric,
    /// What it covers; one of them must fit.
    #[serde(default = "everything")]
    pub on: Vec<Selector>,
    /// From this value on it is bad (down from it where small values are).
    #[serde(default = "one")]
    pub threshold: f64,
    /// Good again beyond this value; the same as the threshold where nothing is said.
    #[serde(default)]
    pub clear: Option<f64>,
    /// From this value on it is critical.
    #[serde(default)]
    pub critical: Option<f64>,
    /// How long it must be bad, seconds.
    #[serde(default)]
    pub hold_s: u32,
    /// How long it must be good before it is over, seconds; for events: how long it counts.
    #[serde(default)]
    pub calm_s: Option<u32>,
    /// How bad.
    pub severity: Severity,
    /// Whether it is on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether a backup, a migration, HA or an operation of gantry's excuses it.
    #[serde(default = "yes")]
    pub excusable: bool,
    /// What to do about it; stands in the message. `{name}`, `{value}`, `{threshold}`, `{node}` are filled in.
    #[serde(default)]
    pub advice: String,
    /// Where more is written.
    #[serde(default)]
    pub runbook: Option<String>,
    /// Another channel than the server's.
    #[serde(default)]
    pub channel: Option<ChannelId>,
    /// Other values for some of what it covers; the first that fits counts.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

/// Other values for some subjects; what is left out stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// For what.
    pub on: Selector,
    /// See [`Rule`].
    #[serde(default)]
    pub enabled: Option<bool>,
    /// See [`Rule`].
    #[serde(default)]
    pub threshold: Option<f64>,
    /// See [`Rule`].
    #[serde(default)]
    pub clear: Option<f64>,
    /// See [`Rule`].
    #[serde(default)]
    pub critical: Option<f64>,
    /// See [`Rule`].
    #[serde(default)]
    pub hold_s: Option<u32>,
    /// See [`Rule`].
    #[serde(default)]
    pub severity: Option<Severity>,
}

/// What people of one server made of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// The server.
    pub guild: GuildId,
    /// The rule.
    pub rule: String,
    /// The values, and what for.
    pub exception: Exception,
    /// Who said so.
    pub by_name: String,
    /// When, milliseconds.
    pub at_ms: i64,
}

/// What holds for one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Whether the rule is on.
    pub enabled: bool,
    /// From where it is bad.
    pub threshold: f64,
    /// Beyond where it is good.
    pub clear: f64,
    /// From where it is critical.
    pub critical: Option<f64>,
    /// How long it must be bad, milliseconds.
    pub hold_ms: i64,
    /// How long it must be good, milliseconds.
    pub calm_ms: i64,
    /// How bad it is at the threshold.
    pub severity: Severity,
    /// Where the values come from, where not from the rule.
    pub from: Option<String>,
}

/// All rules of one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Rules that cannot be read or cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct BadRules(pub Vec<String>);

fn everything() -> Vec<Selector> {
    vec![Selector::everything()]
}
fn one() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}

/// The rules that come with gantry.
pub fn defaults() -> Rules {
    let files = [
        include_str!("../../../../config/alerts/nodes.toml"),
        include_str!("../../../../config/alerts/guests.toml"),
        include_str!("../../../../config/alerts/storage.toml"),
        include_str!("../../../../config/alerts/work.toml"),
        include_str!("../../../../config/alerts/gantry.toml"),
        include_str!("../../../../config/alerts/told.toml"),
    ];
    // A test reads each of them.
    let rules = files.iter().filter_map(|text| Rules::parse(text).ok()).flat_map(|r| r.rules);
    Rules { rules: rules.collect() }
}

impl Rules {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadRules> {
        let rules: Self =
            toml::from_str(text).map_err(|e| BadRules(vec![e.message().to_owned()]))?;
        let problems = rules.problems();
        if problems.is_empty() { Ok(rules) } else { Err(BadRules(problems)) }
    }

    /// These rules with others over them: one of the same name takes its place.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        for rule in others.rules {
            match self.rules.iter_mut().find(|r| r.id == rule.id) {
                Some(old) => *old = rule,
                None => self.rules.push(rule),
            }
        }
        self
    }

    /// The same with what people of a server made of them; the newest word comes first.
    #[must_use]
    pub fn overridden(mut self, overrides: &[Override]) -> Self {
        let mut all: Vec<&Override> = overrides.iter().collect();
        all.sort_by_key(|o| o.at_ms);
        for said in all {
            if let Some(rule) = self.rules.iter_mut().find(|r| r.id == said.rule) {
                if rule.exceptions.len() >= EXCEPTIONS_MAX {
                    rule.exceptions.pop();
                }
                rule.exceptions.insert(0, said.exception.clone());
            }
        }
        self
    }

    /// The rule of that name.
    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|r| r.id == id)
    }

    /// What is wrong, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.rules.len() > RULES_MAX {
            found.push(format!("{} rules; at most {RULES_MAX}", self.rules.len()));
        }
        for (n, rule) in self.rules.iter().enumerate() {
            if self.rules[..n].iter().any(|r| r.id == rule.id) {
                found.push(format!("two rules are called `{}`", rule.id));
            }
            found.extend(rule.problems().into_iter().map(|p| format!("rule `{}`: {p}", rule.id)));
        }
        found
    }
}

impl Rule {
    /// What is wrong with it, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || self.id.len() > 40 || !self.id.chars().all(good) {
            found.push("its id must be 1 to 40 of a-z, 0-9 and -".to_owned());
        }
        if self.title.is_empty() || self.title.chars().count() > 80 {
            found.push("its title must have 1 to 80 characters".to_owned());
        }
        if self.on.is_empty() {
            found.push("it covers nothing; leave `on` out to cover everything".to_owned());
        }
        if self.exceptions.len() > EXCEPTIONS_MAX {
            found.push(format!("more than {EXCEPTIONS_MAX} exceptions"));
        }
        if self.runbook.as_ref().is_some_and(|r| !r.starts_with("https://") || r.len() > 300) {
            found.push("runbook must be an https:// address".to_owned());
        }
        let mut check = |own: &Self, what: &str| {
            let values = [Some(own.threshold), own.clear, own.critical];
            if values.iter().flatten().any(|v| !v.is_finite()) {
                found.push(format!("{what} a value is not a number"));
            }
            if own.hold_s > HOLD_MAX_S {
                found.push(format!("{what} hold_s is at most {HOLD_MAX_S}"));
            }
            let low = own.metric.low_is_bad();
            let beyond = |a: f64, b: f64| if low { a < b } else { a > b };
            if own.clear.is_some_and(|c| beyond(c, own.threshold)) {
                found.push(format!("{what} clear lies on the bad side of the threshold"));
            }
            if own.critical.is_some_and(|c| beyond(own.threshold, c)) {
                found.push(format!("{what} critical lies on the good side of the threshold"));
            }
        };
        check(self, "");
        for exception in &self.exceptions {
            check(&self.excepted(exception), &format!("for {}:", exception.on.as_str()));
        }
        found
    }

    /// The rule as it is under an exception. A threshold that moves takes its clear value along.
    #[must_use]
    pub fn excepted(&self, e: &Exception) -> Self {
        let mut rule = self.clone();
        rule.enabled = e.enabled.unwrap_or(rule.enabled);
        rule.hold_s = e.hold_s.unwrap_or(rule.hold_s);
        rule.severity = e.severity.unwrap_or(rule.severity);
        rule.critical = e.critical.or(rule.critical);
        if let Some(threshold) = e.threshold {
            let by = threshold - rule.threshold;
            rule.clear = rule.clear.map(|c| c + by);
            rule.threshold = threshold;
            let low = rule.metric.low_is_bad();
            let passed = |c: f64| if low { c > threshold } else { c < threshold };
            rule.critical = e.critical.or(rule.critical.filter(|c| !passed(*c)));
        }
        rule.clear = e.clear.or(rule.clear);
        rule
    }

    /// What holds for a subject; `None` when the rule does not cover it.
    pub fn effective(&self, subject: &Subject) -> Option<Effective> {
        let facts = subject.facts();
        if !self.on.iter().any(|s| s.fits(&facts)) {
            return None;
        }
        let exception = self.exceptions.iter().find(|e| e.on.fits(&facts));
        let excepted = exception.map(|e| self.excepted(e));
        let rule = excepted.as_ref().unwrap_or(self);
        let calm_s = rule.calm_s.unwrap_or(match rule.metric.unit() {
            super::Unit::Event => EVENT_KEEP_S,
            _ => CALM_S,
        });
        Some(Effective {
            enabled: rule.enabled,
            threshold: rule.threshold,
            clear: rule.clear.unwrap_or(rule.threshold),
            critical: rule.critical,
            hold_ms: i64::from(rule.hold_s) * 1000,
            calm_ms: i64::from(calm_s) * 1000,
            severity: rule.severity,
            from: exception.map(|e| e.on.as_str().to_owned()),
        })
    }

    /// Its advice about a subject.
    pub fn advice_for(&self, subject: &Subject, value: &str, threshold: &str) -> String {
        let node = subject.node.as_ref().map_or("its node", |n| n.as_str());
        self.advice
            .replace("{name}", &subject.name)
            .replace("{node}", node)
            .replace("{value}", value)
            .replace("{threshold}", threshold)
    }
}
