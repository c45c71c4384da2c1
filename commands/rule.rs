//! `/rule …`: the rules of alerts, and what this server makes of them.

use gantry_core::action::Verb;
use gantry_core::alert::{Exception, Severity};
use gantry_core::policy::Selector;

use crate::alert::may;
use crate::card;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::visit::{Go, Visit, said, serve};

/// Rules of alerts
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "show", "enable", "disable", "override_"),
    subcommand_required
)]
pub async fn rule(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// How bad.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
enum HowBad {
    #[name = "Info"]
    Info,
    #[name = "Warning"]
    Warning,
    #[name = "Error"]
    Error,
    #[name = "Critical"]
    Critical,
}

impl From<HowBad> for Severity {
    fn from(bad: HowBad) -> Self {
        match bad {
            HowBad::Info => Self::Info,
            HowBad::Warning => Self::Warning,
            HowBad::Error => Self::Error,
            HowBad::Critical => Self::Critical,
        }
    }
}

/// All rules
#[poise::command(slash_command, guild_only)]
async fn list(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::RuleList).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let rules = visit.face.engine().alert_rules(visit.actor.guild).await?;
        visit.say(&card::rule_list(&rules.rules)).await
    })
    .await
}

/// One rule, and what this server made of it
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Which rule"]
    #[autocomplete = "complete::rule"]
    #[max_length = 40]
    rule: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::RuleShow).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let rules = visit.face.engine().alert_rules(visit.actor.guild).await?;
        match rules.find(rule.trim()) {
            Some(rule) => visit.say(&card::rule_show(rule)).await,
            None => Err(said(
                "No such rule",
                &format!("{rule} is none. Nothing was done"),
                "`/rule list` shows them.",
                &visit.reference(),
            )),
        }
    })
    .await
}

/// Switch a rule on, for everything or for what a selector covers
#[poise::command(slash_command, guild_only)]
async fn enable(
    ctx: Context<'_>,
    #[description = "Which rule"]
    #[autocomplete = "complete::rule"]
    #[max_length = 40]
    rule: String,
    #[description = "For what: tag:prod, node:pve1, name:web-*; everything where nothing is said"]
    #[max_length = 200]
    on: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let change = Exception { enabled: Some(true), ..nothing(selector(&visit, on.as_deref())?) };
        put(&visit, Verb::RuleEnable, &rule, change).await
    })
    .await
}

/// Switch a rule off, for everything or for what a selector covers
#[poise::command(slash_command, guild_only)]
async fn disable(
    ctx: Context<'_>,
    #[description = "Which rule"]
    #[autocomplete = "complete::rule"]
    #[max_length = 40]
    rule: String,
    #[description = "For what: tag:prod, node:pve1, name:web-*; everything where nothing is said"]
    #[max_length = 200]
    on: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let change =
            Exception { enabled: Some(false), ..nothing(selector(&visit, on.as_deref())?) };
        put(&visit, Verb::RuleDisable, &rule, change).await
    })
    .await
}

/// Other values of a rule for this server; without values: as it comes
#[expect(clippy::too_many_arguments, reason = "each is an option of the command")]
#[poise::command(slash_command, guild_only, rename = "override")]
async fn override_(
    ctx: Context<'_>,
    #[description = "Which rule"]
    #[autocomplete = "complete::rule"]
    #[max_length = 40]
    rule: String,
    #[description = "For what: tag:prod, node:pve1, name:web-*; everything where nothing is said"]
    #[max_length = 200]
    on: Option<String>,
    #[description = "From where it is bad"] threshold: Option<f64>,
    #[description = "Beyond where it is good again"] clear: Option<f64>,
    #[description = "From where it is critical"] critical: Option<f64>,
    #[description = "How long it must last, seconds"]
    #[min = 0]
    #[max = 86400]
    hold: Option<u32>,
    #[description = "How bad"] severity: Option<HowBad>,
    #[description = "On or off"] enabled: Option<bool>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let change = Exception {
            on: selector(&visit, on.as_deref())?,
            enabled,
            threshold,
            clear,
            critical,
            hold_s: hold,
            severity: severity.map(Into::into),
        };
        if change == nothing(change.on.clone()) {
            let verb = Verb::RuleOverride;
            if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
                return Ok(());
            }
            let done = visit.face.engine().reset_rule(&visit.actor, verb, rule.trim()).await?;
            return visit.say(&card::said(verb, &rule, &done)).await;
        }
        put(&visit, Verb::RuleOverride, &rule, change).await
    })
    .await
}

fn nothing(on: Selector) -> Exception {
    Exception {
        on,
        enabled: None,
        threshold: None,
        clear: None,
        critical: None,
        hold_s: None,
        severity: None,
    }
}

fn selector(visit: &Visit, text: Option<&str>) -> Result<Selector, FaceError> {
    let Some(text) = text else { return Ok(Selector::everything()) };
    Selector::try_from(text.to_owned()).map_err(|e| {
        said(
            "Cannot read what it is for",
            &format!("{e}. Nothing was done"),
            "Try again, for example on:tag:prod.",
            &visit.reference(),
        )
    })
}

async fn put(visit: &Visit, verb: Verb, rule: &str, change: Exception) -> Result<(), FaceError> {
    if !may(visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
        return Ok(());
    }
    let done = visit.face.engine().override_rule(&visit.actor, verb, rule.trim(), change).await?;
    visit.say(&card::said(verb, rule, &done)).await
}
