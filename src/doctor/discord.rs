//! Whether Discord takes the token, how many sessions are left today, and whether the commands are registered.

use std::collections::BTreeSet;

use gantry_core::id::GuildId;
use serenity::model::id as discord_id;
use url::Url;

use super::Report;
use crate::config::{Config, Register, Shards};
use crate::discord::{self as face, Front, Preflight, PreflightError};
use crate::door::{front_settings, preflight_settings};

/// What gantry needs in a server: View Channels, Send Messages, Embed Links, Attach Files, Read Message
/// History (a reply needs it), Create Public Threads, Send Messages in Threads.
pub const INVITE_PERMISSIONS: u64 =
    (1 << 10) | (1 << 11) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 35) | (1 << 38);

/// Sessions left today below which somebody should look: something restarts too often.
const SESSIONS_LOW: u32 = 200;

/// Where a bot is invited to a server, with exactly what it needs.
pub fn invite_url(application: impl std::fmt::Display) -> String {
    format!(
        "https://discord.com/oauth2/authorize?client_id={application}&scope=bot+applications.commands&permissions={INVITE_PERMISSIONS}"
    )
}

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let api_base: Url = match config.discord.api_url.parse() {
        Ok(url) => url,
        Err(error) => {
            report.fail(
                "discord",
                format!("discord.api_url: {error}"),
                "api_url = \"https://discord.com\"",
            );
            return;
        }
    };
    let front = match Front::start(front_settings(&config.discord, api_base.clone())).await {
        Ok(front) => front,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            report.fail(
                "discord",
                format!("{error}{cause}"),
                "correct [discord] in the configuration",
            );
            return;
        }
    };
    look(config, &front, api_base, report).await;
    front.stop().await;
}

async fn look(config: &Config, front: &Front, api_base: Url, report: &mut Report) {
    match face::preflight(&preflight_settings(&config.discord, front, api_base)).await {
        Ok(preflight) => {
            token_and_sessions(config, &preflight, report);
            match face::http(front.url(), &config.discord.token) {
                Ok(http) => {
                    http.set_application_id(discord_id::ApplicationId::new(
                        preflight.application_id,
                    ));
                    commands(config, &http, &preflight, report).await;
                    alerts(config, &http, report).await;
                }
                Err(error) => report.fail("discord: commands", error.to_string(), "try again"),
            }
        }
        Err(error @ PreflightError::BadToken) => report.fail(
            "discord: token",
            error.to_string(),
            "https://discord.com/developers/applications → your application → Bot → Reset Token",
        ),
        Err(error @ PreflightError::Budget { .. }) => {
            report.ok("discord: token", "accepted");
            report.fail(
                "discord: sessions",
                error.to_string(),
                "find what restarts gantry over and over; sessions come back by themselves",
            );
        }
        Err(error @ PreflightError::WrongGateway(_)) => {
            report.fail(
                "discord: gateway",
                error.to_string(),
                "check discord.api_url and the proxy",
            );
        }
        Err(error) => report.fail(
            "discord",
            error.to_string(),
            format!(
                "check that this machine reaches {} (or set discord.proxy)",
                config.discord.api_url
            ),
        ),
    }
}

fn token_and_sessions(config: &Config, preflight: &Preflight, report: &mut Report) {
    report.ok(
        "discord: token",
        format!("accepted: {} (application {})", preflight.bot_name, preflight.application_id),
    );
    report.ok("discord: intents", "none is asked for, so none has to be switched on");
    let left = format!(
        "{} of {} left today; the count starts again in {} min",
        preflight.remaining,
        preflight.total,
        preflight.reset_after.as_secs().div_ceil(60)
    );
    if preflight.remaining < SESSIONS_LOW {
        report.warn("discord: sessions", left, "find what restarts gantry over and over");
    } else {
        report.ok("discord: sessions", left);
    }
    match config.discord.shards {
        Shards::Auto => report.ok("discord: shards", format!("{}, all here", preflight.shards)),
        Shards::Range { first, last, total } if total < preflight.shards => report.warn(
            "discord: shards",
            format!("{first} to {last} of {total}, but Discord recommends {}", preflight.shards),
            format!("raise total to {} in every process", preflight.shards),
        ),
        Shards::Range { first, last, total } => {
            report.ok("discord: shards", format!("{first} to {last} of {total}"));
        }
    }
}

async fn commands(
    config: &Config,
    http: &serenity::http::Http,
    preflight: &Preflight,
    report: &mut Report,
) {
    let wanted: BTreeSet<String> =
        gantry_commands::commands().iter().map(|c| c.name.to_string()).collect();
    match &config.discord.register {
        Register::Global => {
            let found = http.get_global_commands().await;
            compare("discord: commands", &wanted, found, preflight, report);
        }
        Register::Guilds(guilds) => {
            for GuildId(id) in guilds {
                let found = http.get_guild_commands(discord_id::GuildId::new((*id).max(1))).await;
                compare(&format!("discord: commands in {id}"), &wanted, found, preflight, report);
            }
        }
    }
}

/// Whether the channels of alerts are there, and forums among them take what is posted.
async fn alerts(config: &Config, http: &serenity::http::Http, report: &mut Report) {
    for route in &config.alerts.routes {
        let id = route.channel;
        let subject = format!("discord: alerts in {}", route.guild);
        let channel = http.get_channel(discord_id::ChannelId::new(id.0.max(1))).await;
        match channel.map(serenity::model::channel::Channel::guild) {
            Ok(Some(channel)) => forum(config, &subject, &channel, report),
            Ok(None) => report.fail(
                &subject,
                format!("{id} is no channel of a server"),
                "correct channel under [[alerts.servers]]",
            ),
            Err(error) => report.fail(
                &subject,
                format!("the channel {id} cannot be read: {error}"),
                "invite the bot, and let it see the channel (View Channel)",
            ),
        }
    }
}

/// A forum that takes no post without a tag should have tags that say something.
fn forum(
    config: &Config,
    subject: &str,
    channel: &serenity::model::channel::GuildChannel,
    report: &mut Report,
) {
    use serenity::model::channel::ChannelFlags;
    let clusters = config.clusters.iter().map(|c| c.id.to_string());
    let severities = gantry_core::alert::Severity::ALL.map(|s| s.as_str().to_owned());
    let words: Vec<String> = severities.into_iter().chain(clusters).collect();
    let fits = |name: &str| words.iter().any(|w| w.eq_ignore_ascii_case(name.trim()));
    let state = |name: &str| ["open", "over"].iter().any(|w| w.eq_ignore_ascii_case(name.trim()));
    let tags = &channel.available_tags;
    let fix = "in the forum's settings: tags called info, warning, error, critical, open and over";
    match () {
        () if !channel.flags.contains(ChannelFlags::REQUIRE_TAG) => {
            report.ok(subject, format!("#{}", channel.name));
        }
        () if tags.is_empty() => report.fail(
            subject,
            format!("the forum #{} takes no post without a tag and has none", channel.name),
            fix,
        ),
        () if !tags.iter().any(|t| fits(&t.name) || state(&t.name)) => report.warn(
            subject,
            format!(
                "the forum #{} takes no post without a tag and none fits: each gets “{}”",
                channel.name,
                tags.iter().find(|t| !t.moderated).or(tags.first()).map_or("", |t| t.name.as_str()),
            ),
            fix,
        ),
        () => report.ok(subject, format!("#{}, each post with a tag", channel.name)),
    }
}

fn compare(
    subject: &str,
    wanted: &BTreeSet<String>,
    found: serenity::Result<Vec<serenity::model::application::Command>>,
    preflight: &Preflight,
    report: &mut Report,
) {
    let found: BTreeSet<String> = match found {
        Ok(found) => found.into_iter().map(|c| c.name).collect(),
        Err(error) => {
            report.fail(
                subject,
                format!("cannot be read: {error}"),
                format!(
                    "invite the bot with both scopes: {}",
                    invite_url(preflight.application_id)
                ),
            );
            return;
        }
    };
    let missing: Vec<&str> = wanted.difference(&found).map(String::as_str).collect();
    if missing.is_empty() {
        report.ok(subject, format!("all {} are registered", wanted.len()));
    } else if found.is_empty() {
        report.ok(subject, "none is registered yet; the first `gantry run` does it");
    } else {
        report.warn(
            subject,
            format!("not registered: /{}", missing.join(", /")),
            "start `gantry run`: it registers them when it connects",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_invites_with_exactly_these_permissions() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&invite_url("APPLICATION_ID")), "{}", invite_url("APPLICATION_ID"));
        for bit in [10, 11, 14, 15, 16, 35, 38] {
            assert!(
                readme.contains(&format!("| {} |", 1_u64 << bit)),
                "bit {bit} is not explained"
            );
        }
    }
}
