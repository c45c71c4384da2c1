//! `[alerts]`: which servers are told about what, where, and who is called.

use gantry_core::alert::{Duty, QuietHours, Route, Rules, Severity, Step, defaults};
use gantry_core::id::{ChannelId, ClusterId, GuildId, RoleId, UserId};
use gantry_core::report::{Every, Slot};
use gantry_engine::AlertSettings;

use super::read::Section;

/// Most steps of escalation; more than anybody answers to.
const STEPS_MAX: usize = 10;
/// Most people on call.
const PEOPLE_MAX: usize = 50;
/// Largest file of rules, bytes.
const RULES_MAX: u64 = 1 << 20;
/// A Monday, so that turns of a week change on Mondays: 1970-01-05.
const MONDAY_MS: i64 = 4 * 86_400_000;

/// Reads the section; `clusters` are the ids that may be named.
pub(super) fn read(mut s: Section<'_>, clusters: &[ClusterId]) -> AlertSettings {
    let mut rules = defaults();
    let files: Vec<String> = s.each("rules");
    for (n, file) in files.iter().enumerate() {
        let path = s.reader().resolve(file);
        let text = std::fs::metadata(&path).and_then(|m| {
            if m.len() > RULES_MAX {
                return Err(std::io::Error::other("larger than 1 MiB"));
            }
            std::fs::read_to_string(&path)
        });
        let read = text
            .map_err(|e| e.to_string())
            .and_then(|t| Rules::parse(&t).map_err(|e| e.to_string()));
        match read {
            Ok(own) => rules = rules.with(own),
            Err(why) => s.mistake(&format!("rules[{n}]"), format!("{}: {why}", path.display())),
        }
    }
    let servers = s.sections("servers");
    s.finish();
    let mut routes: Vec<Route> = Vec::new();
    for section in servers {
        routes.extend(read_server(section, clusters, &routes));
    }
    AlertSettings { routes, rules }
}

fn read_server(mut s: Section<'_>, clusters: &[ClusterId], before: &[Route]) -> Option<Route> {
    let guild = s.need::<GuildId>("guild", "guild = 123; the server's id");
    let channel = s.need::<ChannelId>("channel", "channel = 456; where its alerts go");
    if let Some(guild) = guild.filter(|g| before.iter().any(|r| r.guild == *g)) {
        s.mistake("guild", format!("server {guild} stands here twice"));
    }
    let only = s.each::<ClusterId>("clusters");
    for (n, unknown) in only.iter().enumerate().filter(|(_, c)| !clusters.contains(c)) {
        s.mistake(&format!("clusters[{n}]"), format!("no cluster has the id `{unknown}`"));
    }
    let least = s.take("least", Severity::Warning);
    let mention_from = s.take("mention_from", Severity::Critical);
    let mention = s.may::<RoleId>("mention_role");
    let quiet_offset = offset(&mut s);
    let quiet = quiet(&mut s, quiet_offset);
    let per_hour = s.number("per_hour", 100, 1..=1000);
    let cooldown_s = s.number("cooldown_s", 300, 0..=86_400);
    let people = s.each::<UserId>("on_call");
    if people.len() > PEOPLE_MAX {
        s.mistake("on_call", format!("{} people; at most {PEOPLE_MAX}", people.len()));
    }
    let days = s.number("on_call_days", 7, 1..=90);
    let threads = s.take("threads", true);
    let reports = reports(&mut s, quiet_offset);
    let steps = s.sections("escalate");
    if steps.len() > STEPS_MAX {
        s.mistake("escalate", format!("{} steps; at most {STEPS_MAX}", steps.len()));
    }
    s.finish();
    let escalation = steps
        .into_iter()
        .map(|mut step| {
            let after_min = step.number("after_min", 15, 1..=1440);
            let (role, channel) = (step.may::<RoleId>("role"), step.may::<ChannelId>("channel"));
            step.finish();
            Step { after_ms: i64::from(after_min) * 60_000, role, channel }
        })
        .collect();
    Some(Route {
        guild: guild?,
        channel: channel?,
        clusters: only,
        least,
        mention_from,
        mention,
        quiet,
        per_hour,
        cooldown_ms: i64::from(cooldown_s) * 1000,
        escalation,
        duty: Duty { people, days, start_ms: MONDAY_MS, shifts: Vec::new() },
        threads,
        reports,
    })
}

/// `quiet = "22:00-07:00"`, in the zone that `utc_offset_min` says.
fn quiet(s: &mut Section<'_>, offset: i32) -> Option<QuietHours> {
    let text = s.may::<String>("quiet");
    let except_from = s.take("quiet_except", Severity::Critical);
    let text = text?;
    let read = text.split_once('-').and_then(|(a, b)| Some((minute(a)?, minute(b)?)));
    match read {
        Some((from_min, until_min)) if from_min != until_min => {
            Some(QuietHours { from_min, until_min, offset_min: offset, except_from })
        }
        _ => {
            s.mistake("quiet", format!("`{text}` is not a span; write quiet = \"22:00-07:00\""));
            None
        }
    }
}

/// `08:00` as a minute of the day.
fn minute(text: &str) -> Option<u32> {
    let (h, m) = text.trim().split_once(':')?;
    let (h, m) = (h.parse::<u32>().ok()?, m.parse::<u32>().ok()?);
    (h < 24 && m < 60).then_some(h * 60 + m)
}

/// How far a server's hours are ahead of UTC, minutes.
fn offset(s: &mut Section<'_>) -> i32 {
    let offset = s.take("utc_offset_min", 0_i32);
    if !(-14 * 60..=14 * 60).contains(&offset) {
        s.mistake("utc_offset_min", "must lie between -840 and 840");
    }
    offset
}

/// `report = "mon 08:00"` and `digest = "08:00"`.
fn reports(s: &mut Section<'_>, offset_min: i32) -> Vec<Slot> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let mut out = Vec::new();
    if let Some(text) = s.may::<String>("digest") {
        match minute(&text) {
            Some(minute) => out.push(Slot { every: Every::Day, weekday: 0, minute, offset_min }),
            None => {
                s.mistake("digest", format!("`{text}` is not a time; write digest = \"08:00\""))
            }
        }
    }
    if let Some(text) = s.may::<String>("report") {
        let read = text.trim().split_once(' ').and_then(|(day, time)| {
            let weekday = DAYS.iter().position(|d| d.eq_ignore_ascii_case(day.trim()))?;
            Some((u32::try_from(weekday).ok()?, minute(time)?))
        });
        match read {
            Some((weekday, minute)) => {
                out.push(Slot { every: Every::Week, weekday, minute, offset_min });
            }
            None => s.mistake(
                "report",
                format!("`{text}` is no time of a week; write report = \"mon 08:00\""),
            ),
        }
    }
    out
}
