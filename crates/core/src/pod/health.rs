//! How a pod's health is told: what is asked, how often, and when an answer counts.

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// Most words of a command and the most characters of one; the node shell bounds them again.
const COMMAND_WORDS_MAX: usize = 32;
const COMMAND_WORD_MAX: usize = 512;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A TCP connection to this port is accepted.
    Tcp {
        /// The port.
        port: u16,
    },
    /// `GET http://address:port/path` is answered with this status.
    Http {
        /// The port.
        port: u16,
        /// The path, with its query.
        #[serde(default = "root_path")]
        path: String,
        /// The status expected.
        #[serde(default = "ok_status")]
        status: u16,
    },
    /// A command inside the pod ends with 0. Needs the node shell.
    Command {
        /// Program and arguments; no shell reads them.
        run: Vec<String>,
    },
}

fn root_path() -> String {
    "/".to_owned()
}

fn ok_status() -> u16 {
    200
}

/// A health check. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    #[serde(default = "interval")]
    pub interval_s: u32,
    /// How long one answer may take.
    #[serde(default = "timeout")]
    pub timeout_s: u32,
    /// Good answers in a row until it counts as healthy.
    #[serde(default = "one")]
    pub healthy_after: u32,
    /// Bad answers in a row until it counts as unhealthy.
    #[serde(default = "three")]
    pub unhealthy_after: u32,
    /// After a start, bad answers do not count for this long.
    #[serde(default = "grace")]
    pub grace_s: u32,
}

fn interval() -> u32 {
    10
}
fn timeout() -> u32 {
    3
}
fn one() -> u32 {
    1
}
fn three() -> u32 {
    3
}
fn grace() -> u32 {
    30
}

impl Health {
    /// `probe` with everything else as usual.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval_s: interval(),
            timeout_s: timeout(),
            healthy_after: one(),
            unhealthy_after: three(),
            grace_s: grace(),
        }
    }

    /// As people read it: `GET :8080/ready is 200, every 10 s`.
    pub fn describe(&self) -> String {
        let what = match &self.probe {
            Probe::Tcp { port } => format!("TCP port {port} accepts"),
            Probe::Http { port, path, status } => format!("GET :{port}{path} is {status}"),
            Probe::Command { run } => {
                format!("`{}` ends with 0", run.first().map_or("", String::as_str))
            }
        };
        format!("{what}, every {} s", self.interval_s)
    }

    pub(super) fn check(&self, found: &mut Problems) {
        match &self.probe {
            Probe::Tcp { port } => {
                found.check(*port > 0, "health.probe.tcp.port", "1 to 65535");
            }
            Probe::Http { port, path, status } => {
                found.check(*port > 0, "health.probe.http.port", "1 to 65535");
                let plain = |c: char| c.is_ascii_graphic();
                found.check(
                    path.starts_with('/') && path.len() <= 1000 && path.chars().all(plain),
                    "health.probe.http.path",
                    "a path such as /ready, without spaces",
                );
                found.check(
                    (100..=599).contains(status),
                    "health.probe.http.status",
                    "an HTTP status, 100 to 599",
                );
            }
            Probe::Command { run } => {
                let word = |w: &String| {
                    !w.is_empty() && w.len() <= COMMAND_WORD_MAX && !w.chars().any(char::is_control)
                };
                found.check(
                    (1..=COMMAND_WORDS_MAX).contains(&run.len()) && run.iter().all(word),
                    "health.probe.command.run",
                    "a program and its arguments, at most 32 words of 512 characters",
                );
            }
        }
        let range = |n: u32, max: u32| (1..=max).contains(&n);
        found.check(range(self.interval_s, 3600), "health.interval_s", "1 to 3600 seconds");
        found.check(
            range(self.timeout_s, 60) && self.timeout_s <= self.interval_s,
            "health.timeout_s",
            "1 to 60 seconds, and not longer than the interval",
        );
        found.check(range(self.healthy_after, 100), "health.healthy_after", "1 to 100");
        found.check(range(self.unhealthy_after, 100), "health.unhealthy_after", "1 to 100");
        found.check(self.grace_s <= 86_400, "health.grace_s", "0 to 86400 seconds");
    }
}
