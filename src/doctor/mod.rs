//! `gantry doctor`: looks at everything gantry needs and says, one line each, what is so and how to mend what is not.
//!
//! Reads only: no command is registered, no guest is touched, the database is not changed. Called by `cli`.

mod cluster;
mod database;
mod discord;
mod dns;
mod http;
mod node_shell;
mod privileges;

use std::fmt;

use serde::Serialize;

use crate::config::{Loaded, Origin};

pub use discord::{INVITE_PERMISSIONS, invite_url};
pub use privileges::{ROLE, role_line};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Ok,
    /// Works, but should be looked at.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at: `database`, `lab: token`.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// As a sentence.
    pub text: String,
    /// What to do, as exactly as it can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order of looking.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether something does not work.
    pub fn failed(&self) -> bool {
        self.lines.iter().any(|l| l.state == State::Fail)
    }

    fn add(&mut self, subject: &str, state: State, text: impl Into<String>, fix: Option<String>) {
        self.lines.push(Line { subject: subject.to_owned(), state, text: text.into(), fix });
    }

    pub(crate) fn ok(&mut self, subject: &str, text: impl Into<String>) {
        self.add(subject, State::Ok, text, None);
    }

    pub(crate) fn warn(&mut self, subject: &str, text: impl Into<String>, fix: impl Into<String>) {
        self.add(subject, State::Warn, text, Some(fix.into()));
    }

    pub(crate) fn fail(&mut self, subject: &str, text: impl Into<String>, fix: impl Into<String>) {
        self.add(subject, State::Fail, text, Some(fix.into()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|l| l.subject.chars().count()).max().unwrap_or(0);
        for line in &self.lines {
            let word = match line.state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            writeln!(f, "{word}  {:width$}  {}", line.subject, line.text)?;
            for (n, fix) in line.fix.iter().flat_map(|t| t.lines()).enumerate() {
                let arrow = if n == 0 { "fix:" } else { "    " };
                writeln!(f, "      {:width$}  {arrow} {fix}", "")?;
            }
        }
        let count = |state| self.lines.iter().filter(|l| l.state == state).count();
        match (count(State::Fail), count(State::Warn)) {
            (0, 0) => writeln!(f, "Everything is in order."),
            (0, warnings) => writeln!(f, "Nothing is broken; {warnings} to look at."),
            (failed, _) => writeln!(f, "{failed} to mend."),
        }
    }
}

/// Looks at everything. Slow parts are bounded by the clients' own deadlines.
pub async fn examine(loaded: &Loaded) -> Report {
    let mut report = Report::default();
    configuration(loaded, &mut report);
    database::examine(&loaded.config, &mut report).await;
    discord::examine(&loaded.config, &mut report).await;
    for cluster in &loaded.config.clusters {
        cluster::examine(cluster, &loaded.config.policy, &mut report).await;
        node_shell::examine(cluster, &mut report).await;
    }
    dns::examine(&loaded.config, &mut report).await;
    http::examine(&loaded.config, &mut report).await;
    report
}

/// A configuration that was not read at all is one failed line per mistake.
pub fn of_error(error: &crate::config::Error) -> Report {
    let mut report = Report::default();
    match error {
        crate::config::Error::Wrong { mistakes, .. } => {
            for mistake in mistakes {
                let problem = format!("{}: {}", mistake.at, mistake.what);
                report.fail("configuration", problem, "correct it, then `gantry config check`");
            }
        }
        other => report.fail(
            "configuration",
            other.to_string(),
            "cp config/gantry.example.toml gantry.toml and fill it in",
        ),
    }
    report
}

fn configuration(loaded: &Loaded, report: &mut Report) {
    let config = &loaded.config;
    let clusters: Vec<String> = config.clusters.iter().map(|c| c.id.to_string()).collect();
    report.ok(
        "configuration",
        format!(
            "{}: clusters {}; policy rules: {}",
            loaded.path.display(),
            clusters.join(", "),
            config.policy.rules.len()
        ),
    );
    if config.policy.rules.is_empty() {
        report.warn(
            "policy",
            "there are no rules, so nobody may do anything",
            "write [[policy.rules]] sections; docs/policy.md",
        );
    }
    // Secret files that others on this machine can read, and the configuration itself when it holds secrets.
    let base = loaded.path.parent().map(std::path::Path::to_owned).unwrap_or_default();
    let mut private = Vec::new();
    for key in loaded.keys.iter().filter(|k| k.origin != Origin::Default) {
        let value = key.value.as_ref().and_then(|v| v.as_str());
        match value {
            Some(path) if key.name.ends_with("_file") => private.push(base.join(path)),
            Some(text) if text == crate::config::MASK && key.origin == Origin::File => {
                private.push(loaded.path.clone());
            }
            _ => {}
        }
    }
    private.sort();
    private.dedup();
    for path in private {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).map(|m| m.permissions().mode()).unwrap_or(0);
        if mode & 0o077 != 0 {
            report.warn(
                "secrets",
                format!("others on this machine may read {}", path.display()),
                format!("chmod 600 {}", path.display()),
            );
        }
    }
}

#[cfg(test)]
mod tests;
