//! Tasks: UPIDs, logs, scripts of steps with durations, and how they end.
//!
//! A task never acts by itself: `state` carries out the steps that are due whenever it is looked at, in the
//! order of their time. So the same requests at the same moments give the same cluster.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::effect::Effect;

/// One step of a script.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A log line; `{ts}` becomes the moment in `YYYY-MM-DD hh:mm:ss`.
    Say(String),
    /// Something done to the cluster; its failure ends the task.
    Do(Effect),
}

/// What a task is going to do: (seconds after the previous step at speed 1.0, step).
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<(f64, Step)>,
    /// Carried out when the task fails or is cancelled.
    pub(crate) undo: Vec<Effect>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn say(mut self, seconds: f64, line: impl Into<String>) -> Self {
        self.steps.push((seconds, Step::Say(line.into())));
        self
    }

    pub(crate) fn act(mut self, seconds: f64, effect: Effect) -> Self {
        self.steps.push((seconds, Step::Do(effect)));
        self
    }

    pub(crate) fn undo(mut self, effect: Effect) -> Self {
        self.undo.push(effect);
        self
    }
}

/// A task, running or finished.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u32,
    /// Seconds since the epoch.
    pub(crate) start: f64,
    pub(crate) kind: String,
    pub(crate) id: String,
    /// `user@realm` or `user@realm!token`.
    pub(crate) user: String,
    pub(crate) log: Vec<String>,
    pub(crate) steps: VecDeque<(f64, Step)>,
    pub(crate) undo: Vec<Effect>,
    /// When it ended and with what.
    pub(crate) end: Option<(f64, String)>,
    /// Planned by trouble.
    pub(crate) fails: Option<String>,
    pub(crate) warnings: u32,
}

impl Task {
    /// `UPID:node:pid:pstart:starttime:type:id:user:` in upper-case hex.
    pub(crate) fn make_upid(
        node: &str,
        pid: u32,
        pstart: u32,
        start: f64,
        kind: &str,
        id: &str,
        user: &str,
    ) -> String {
        format!("UPID:{node}:{pid:08X}:{pstart:08X}:{:08X}:{kind}:{id}:{user}:", start as u64)
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// `user` without the token.
    pub(crate) fn person(&self) -> &str {
        self.user.split('!').next().unwrap_or_default()
    }

    fn common(&self) -> Value {
        let mut value = json!({
            "upid": self.upid,
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pstart,
            "starttime": self.start as u64,
            "type": self.kind,
            "id": self.id,
            "user": self.person(),
        });
        if let (Some((_, token)), Some(map)) = (self.user.split_once('!'), value.as_object_mut()) {
            map.insert("tokenid".to_owned(), json!(token));
        }
        value
    }

    /// The form of `tasks/{upid}/status`.
    pub(crate) fn status(&self) -> Value {
        let mut value = self.common();
        if let Some(map) = value.as_object_mut() {
            map.insert(
                "status".into(),
                json!(if self.is_running() { "running" } else { "stopped" }),
            );
            if let Some((_, exit)) = &self.end {
                map.insert("exitstatus".into(), json!(exit));
            }
        }
        value
    }

    /// The form of task lists: the result is in `status`, `endtime` marks the end.
    pub(crate) fn listed(&self) -> Value {
        let mut value = self.common();
        if let Some(map) = value.as_object_mut() {
            map.insert("user".into(), json!(self.user));
            map.remove("tokenid");
            if let Some((end, exit)) = &self.end {
                map.insert("endtime".into(), json!(*end as u64));
                map.insert("status".into(), json!(exit));
            }
        }
        value
    }
}

/// Does the text follow the UPID grammar?
pub(crate) fn is_upid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("UPID:") else { return false };
    let parts: Vec<&str> = rest.split(':').collect();
    let hex = |s: &str, lengths: &[usize]| {
        lengths.contains(&s.len()) && s.bytes().all(|b| b.is_ascii_hexdigit())
    };
    matches!(parts.as_slice(), [node, pid, pstart, start, kind, _, user, ""]
        if !node.is_empty()
            && hex(pid, &[8])
            && hex(pstart, &[8, 9])
            && hex(start, &[8])
            && !kind.is_empty()
            && !user.is_empty())
}

/// Calendar text of a moment (UTC), as log lines carry it.
pub(crate) fn calendar(seconds: f64) -> String {
    let total = seconds as i64;
    let (days, rest) = (total.div_euclid(86_400), total.rem_euclid(86_400));
    // Days to civil date, after Howard Hinnant's public algorithm.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upids_follow_the_grammar() {
        let upid = Task::make_upid("pve1", 4711, 99, 1_790_000_000.4, "vzstart", "105", "a@pve!t");
        assert!(is_upid(&upid), "{upid}");
        assert!(is_upid("UPID:pve1:00001267:00000063:6AB13B80:vncshell::root@pam:"));
        for bad in
            ["", "UPID:pve1", "UPID:pve1:1:2:3:t:i:u:", "UPID::00001267:00000063:6AB13B80:t:i:u:"]
        {
            assert!(!is_upid(bad), "{bad}");
        }
    }

    #[test]
    fn calendar_knows_leap_years() {
        assert_eq!(calendar(1_709_164_800.0), "2024-02-29 00:00:00");
        assert_eq!(calendar(0.0), "1970-01-01 00:00:00");
    }
}
