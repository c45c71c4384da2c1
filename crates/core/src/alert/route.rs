//! Where alerts of a server are told, who is called, and who is on call.

use serde::{Deserialize, Serialize};

use super::{QuietHours, Severity};
use crate::id::{ChannelId, ClusterId, GuildId, RoleId, UserId};
use crate::report::Slot;

const DAY_MS: i64 = 86_400_000;

/// Where one server's alerts go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The server.
    pub guild: GuildId,
    /// Its channel for alerts.
    pub channel: ChannelId,
    /// Only of these clusters; empty: all.
    pub clusters: Vec<ClusterId>,
    /// Milder ones are kept in `/alert list` only.
    pub least: Severity,
    /// Somebody is called from here on.
    pub mention_from: Severity,
    /// Who is called: a role, where nobody is on call.
    pub mention: Option<RoleId>,
    /// Quiet hours.
    pub quiet: Option<QuietHours>,
    /// New messages in an hour; more are counted in a digest.
    pub per_hour: u32,
    /// How long after its end the same trouble goes on in the same message, milliseconds.
    pub cooldown_ms: i64,
    /// What happens when nobody acknowledges.
    pub escalation: Vec<Step>,
    /// Who is on call.
    pub duty: Duty,
    /// Whether each incident gets a thread with its course.
    #[serde(default = "yes")]
    pub threads: bool,
    /// Reports that are sent by themselves.
    #[serde(default)]
    pub reports: Vec<Slot>,
}

fn yes() -> bool {
    true
}

impl Route {
    /// Everything to one channel, with the values that hold where nothing is said.
    pub fn of(guild: GuildId, channel: ChannelId) -> Self {
        Self {
            guild,
            channel,
            clusters: Vec::new(),
            least: Severity::Warning,
            mention_from: Severity::Critical,
            mention: None,
            quiet: None,
            per_hour: 100,
            cooldown_ms: 300_000,
            escalation: Vec::new(),
            duty: Duty::default(),
            threads: true,
            reports: Vec::new(),
        }
    }
}

/// One step of escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// After so many milliseconds without acknowledgement.
    pub after_ms: i64,
    /// Whom to call; whoever is on call where it is left out.
    pub role: Option<RoleId>,
    /// In which channel; the same where it is left out.
    pub channel: Option<ChannelId>,
}

/// Who is on call when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    /// In turn.
    pub people: Vec<UserId>,
    /// How long each, days.
    pub days: u32,
    /// When the first one's first turn began, milliseconds.
    pub start_ms: i64,
    /// Who stands in for whom; the newest counts.
    pub shifts: Vec<DutyShift>,
}

/// Somebody stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyShift {
    /// The server.
    pub guild: GuildId,
    /// Who.
    pub user: UserId,
    /// From when, milliseconds.
    pub from_ms: i64,
    /// Until when, milliseconds.
    pub until_ms: i64,
    /// Who said so.
    pub by_name: String,
}

impl Duty {
    /// Who is on call.
    pub fn now(&self, now_ms: i64) -> Option<UserId> {
        let stand_in = self.shifts.iter().rev().find(|s| (s.from_ms..s.until_ms).contains(&now_ms));
        if let Some(shift) = stand_in {
            return Some(shift.user);
        }
        let turn =
            now_ms.saturating_sub(self.start_ms).div_euclid(i64::from(self.days.max(1)) * DAY_MS);
        let count = i64::try_from(self.people.len()).ok().filter(|n| *n > 0)?;
        self.people.get(usize::try_from(turn.rem_euclid(count)).ok()?).copied()
    }

    /// When the turn of whoever is on call ends.
    pub fn until_ms(&self, now_ms: i64) -> i64 {
        let stand_in = self.shifts.iter().rev().find(|s| (s.from_ms..s.until_ms).contains(&now_ms));
        if let Some(shift) = stand_in {
            return shift.until_ms;
        }
        let length = i64::from(self.days.max(1)) * DAY_MS;
        let turn = now_ms.saturating_sub(self.start_ms).div_euclid(length);
        self.start_ms + (turn + 1) * length
    }
}
