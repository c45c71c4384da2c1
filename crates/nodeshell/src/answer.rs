//! What commands answer, as types: the small ones, and how lines of `word rest` are read.
//!
//! An answer that is not as promised is [`Unreadable`]; unknown words are passed over, so that an older client reads
//! a newer script.

use std::collections::BTreeMap;

/// Why an answer could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// The lines of an answer, each split at its first space.
pub(crate) struct Answer<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Answer<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let split = |line: &'a str| line.split_once(' ').unwrap_or((line, ""));
        Self(text.lines().filter(|l| !l.is_empty()).map(split).collect())
    }

    /// Every line of this word.
    pub(crate) fn all(&self, word: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(w, _)| *w == word).map(|(_, rest)| *rest)
    }

    pub(crate) fn find(&self, word: &str) -> Option<&'a str> {
        self.all(word).next()
    }

    pub(crate) fn one(&self, word: &str) -> Result<&'a str, Unreadable> {
        self.find(word).ok_or_else(|| Unreadable(format!("no line `{word}`")))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, word: &str) -> Result<T, Unreadable> {
        let text = self.one(word)?;
        text.parse().map_err(|_| Unreadable(format!("`{word}` is not a number")))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, word: &str) -> Result<T, Unreadable> {
        serde_json::from_str(self.one(word)?).map_err(|e| Unreadable(format!("`{word}`: {e}")))
    }
}

/// What the script and its node can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The protocol the script speaks; ours is [`crate::PROTOCOL`].
    pub protocol: u32,
    /// SHA-256 of the script, 64 hexadecimal digits; ours is [`crate::script_sha256`].
    pub script: String,
    /// Programs the script uses, and whether the node has them.
    pub tools: BTreeMap<String, bool>,
    /// Whether the node forwards IPv4.
    pub forwards_ipv4: bool,
    /// Whether the node forwards IPv6.
    pub forwards_ipv6: bool,
    /// Whether the boot unit is enabled; without it nothing survives a restart of the node.
    pub boot_unit: bool,
}

impl Probe {
    /// Whether the node has this program.
    pub fn has(&self, tool: &str) -> bool {
        self.tools.get(tool).copied().unwrap_or(false)
    }

    /// Whether the node runs the script this gantry ships.
    pub fn is_current(&self) -> bool {
        self.script == crate::script_sha256()
    }

    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let tools = answer
            .all("tool")
            .filter_map(|rest| rest.split_once(' '))
            .map(|(name, has)| (name.to_owned(), has == "yes"));
        Ok(Self {
            protocol: answer.number("version")?,
            script: answer.one("script")?.to_owned(),
            tools: tools.collect(),
            forwards_ipv4: forwarding(&answer, "ipv4"),
            forwards_ipv6: forwarding(&answer, "ipv6"),
            boot_unit: answer.one("boot-unit")? == "yes",
        })
    }
}

/// Whether the node forwards a family.
pub(crate) fn forwarding(answer: &Answer<'_>, family: &str) -> bool {
    answer.all("forwarding").any(|rest| rest.split_once(' ') == Some((family, "on")))
}

/// How a health check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthOutcome {
    /// Its exit status; `None` when it was ended because it took too long.
    pub status: Option<u8>,
    /// What it said, both streams together, at most 4 KiB, printable ASCII.
    pub output: String,
}

impl HealthOutcome {
    /// Exit status 0.
    pub fn is_healthy(&self) -> bool {
        self.status == Some(0)
    }

    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let status = match answer.one("exit")? {
            "timeout" => None,
            n => Some(n.parse().map_err(|_| Unreadable("`exit` is not a status".to_owned()))?),
        };
        let output: Vec<&str> = answer.all("out").collect();
        Ok(Self { status, output: output.join("\n") })
    }
}

/// The lock a guest had before it was taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// There was none; nothing was done.
    None,
    /// It had this one: `backup`, `migrate`, `snapshot`, …
    Was(String),
}

impl Lock {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        Ok(match Answer::read(text).one("was")? {
            "none" => Self::None,
            kind => Self::Was(kind.to_owned()),
        })
    }
}

/// A raw `lxc.*` line of a container's configuration as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileLine {
    /// `lxc.apparmor.profile`.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl ProfileLine {
    pub(crate) fn read_all(text: &str) -> Vec<Self> {
        let split = |rest: &str| {
            let (key, value) = rest.split_once(' ')?;
            Some(Self {
                key: key.trim_end_matches(':').to_owned(),
                value: value.trim_start_matches("= ").to_owned(),
            })
        };
        Answer::read(text).all("line").filter_map(split).collect()
    }
}
