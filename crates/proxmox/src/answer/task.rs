//! Tasks: the only source of truth about what an accepted write became.
//!
//! Success is `OK` or `WARNINGS: n`, nothing else. In lists the result stands in `status` and `endtime` marks the end.

use gantry_core::id::{NodeName, Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::lenient;

/// How a finished task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// `OK`.
    Ok,
    /// `WARNINGS: n`: done, and the log has something to read.
    Warnings(u64),
    /// Anything else, in Proxmox's own words.
    Failed(String),
}

/// A line of a task without what is signed in its addresses: Proxmox writes the whole address it downloads from, and
/// whoever reads a query can fetch with it.
fn without_queries(line: &str) -> String {
    let mut told = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + "://".len());
        told.push_str(before);
        let end = address
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>' | '`'))
            .unwrap_or(address.len());
        let (address, after) = address.split_at(end);
        match address.split_once('?') {
            Some((path, _)) => {
                told.push_str(path);
                told.push_str("?…");
            }
            None => told.push_str(address),
        }
        rest = after;
    }
    told.push_str(rest);
    told
}

impl ExitStatus {
    /// Reads Proxmox's exit status exactly as it prints it.
    pub fn parse(text: &str) -> Self {
        if text == "OK" {
            return Self::Ok;
        }
        let count = text.strip_prefix("WARNINGS: ");
        match count.filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok()) {
            Some(n) => Self::Warnings(n),
            None => Self::Failed(without_queries(text)),
        }
    }

    /// Whether the work was done.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ok | Self::Warnings(_))
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Warnings(n) => write!(f, "WARNINGS: {n}"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

/// Whether a task still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStatus {
    /// Not finished; poll again.
    Running,
    /// Finished.
    Stopped {
        /// How it ended.
        exit: ExitStatus,
    },
}

impl<'de> Deserialize<'de> for TaskStatus {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default, deserialize_with = "lenient::text")]
            status: Option<String>,
            #[serde(default, deserialize_with = "lenient::text")]
            exitstatus: Option<String>,
        }
        let raw = Raw::deserialize(d)?;
        match (raw.status.as_deref(), raw.exitstatus) {
            (Some("running"), None) => Ok(Self::Running),
            (Some("stopped" | "running"), Some(exit)) => {
                Ok(Self::Stopped { exit: ExitStatus::parse(&exit) })
            }
            // A worker that died without a word; never taken for success.
            (Some("stopped"), None) => {
                Ok(Self::Stopped { exit: ExitStatus::Failed("no exit status".to_owned()) })
            }
            _ => Err(serde::de::Error::custom("a task status without `running` or `stopped`")),
        }
    }
}

/// Which task lists a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskSource {
    /// Finished ones only; Proxmox's own default.
    Archive,
    /// Those that run.
    Active,
    /// Both. The default here: a probe that looks at half of the tasks is no probe.
    #[default]
    All,
}

impl TaskSource {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Active => "active",
            Self::All => "all",
        }
    }
}

/// Which tasks of a node are asked for.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Tasks about this guest only.
    pub vmid: Option<Vmid>,
    /// Started at or after this time, seconds since the epoch by the node's clock.
    pub since_s: Option<u64>,
    /// Started at or before this time.
    pub until_s: Option<u64>,
    /// Finished, running, or both.
    pub source: TaskSource,
    /// One worker type, for example `vzdestroy`.
    pub kind: Option<String>,
    /// Only those that failed.
    pub errors: bool,
    /// Part of the user's name.
    pub user: Option<String>,
    /// First row.
    pub start: Option<u64>,
    /// Number of rows; Proxmox's default is 50.
    pub limit: Option<u64>,
}

/// One row of a task list.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    /// Its id.
    pub upid: Upid,
    /// End, seconds since the epoch; `None` while it runs.
    pub ended_s: Option<u64>,
    /// How it ended; `None` while it runs.
    pub exit: Option<ExitStatus>,
}

impl TaskEntry {
    /// The node that runs it.
    pub fn node(&self) -> &NodeName {
        self.upid.node()
    }
    /// Whether it is not finished.
    pub fn is_running(&self) -> bool {
        self.ended_s.is_none()
    }
}

/// A task row whose UPID may be outside the grammar; such rows are left out.
#[derive(Deserialize)]
pub(crate) struct TaskRow {
    #[serde(default, deserialize_with = "lenient::parsed")]
    upid: Option<Upid>,
    #[serde(default, deserialize_with = "lenient::u64")]
    endtime: Option<u64>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
}

impl TaskRow {
    pub(crate) fn entry(self) -> Option<TaskEntry> {
        let ended_s = self.endtime.filter(|end| *end > 0);
        let exit = ended_s.map(|_| match self.status {
            Some(text) => ExitStatus::parse(&text),
            None => ExitStatus::Failed("no exit status".to_owned()),
        });
        Some(TaskEntry { upid: self.upid?, ended_s, exit })
    }
}

/// Part of a task's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskLog {
    /// The lines asked for. Proxmox's pseudo line `no content` of an empty log is left out.
    pub lines: Vec<String>,
    /// How many lines there are in all.
    pub total: u64,
}

#[derive(Deserialize)]
pub(crate) struct LogRow {
    #[serde(default, deserialize_with = "lenient::text")]
    t: Option<String>,
}

impl TaskLog {
    pub(crate) fn from_rows(rows: Vec<LogRow>, total: Option<u64>) -> Self {
        let mut lines: Vec<String> =
            rows.into_iter().filter_map(|r| r.t).map(|t| without_queries(&t)).collect();
        if lines.len() == 1 && lines.first().is_some_and(|l| l == "no content") {
            lines.clear();
        }
        let total = total.unwrap_or(lines.len() as u64);
        Self { total, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_address_is_told_without_its_query() {
        for (line, told) in [
            (
                "downloading https://cdn.example/a.iso?ex=1&hm=secret to /var/lib/a.iso",
                "downloading https://cdn.example/a.iso?… to /var/lib/a.iso",
            ),
            ("'https://a/b?c' and \"http://d/e?f\"", "'https://a/b?…' and \"http://d/e?…\""),
            ("https://a/b ok?", "https://a/b ok?"),
            ("really? yes", "really? yes"),
        ] {
            let rows = vec![LogRow { t: Some(line.to_owned()) }];
            assert_eq!(TaskLog::from_rows(rows, None).lines, [told]);
            assert_eq!(ExitStatus::parse(line), ExitStatus::Failed(told.to_owned()));
        }
    }
}
