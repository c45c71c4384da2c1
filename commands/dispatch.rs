//! The framework: slash commands through poise, buttons and forms through our own doors, and an answer for every
//! way poise can fail.

use gantry_core::action::Verb;
use poise::FrameworkError;
use serenity::all::{CreateAllowedMentions, FullEvent, Interaction};

use crate::card::{self, Card, Tone};
use crate::desk::{Desk, words_of};
use crate::face::{Face, FaceError};
use crate::fault::Fault;
use crate::register::commands;
use crate::visit::only_in_servers;
use crate::{form, press};

impl Face {
    /// The poise framework: give it to serenity's client builder.
    pub fn framework(&self) -> poise::Framework<Self, FaceError> {
        let face = self.clone();
        poise::Framework::builder()
            .options(poise::FrameworkOptions {
                commands: commands(),
                on_error: |error| Box::pin(on_error(error)),
                event_handler: |framework, event| Box::pin(on_event(framework, event)),
                allowed_mentions: Some(CreateAllowedMentions::new()),
                // Owners mean nothing here: policy decides, and asking Discord for them costs a call.
                initialize_owners: false,
                ..poise::FrameworkOptions::default()
            })
            .initialize_owners(false)
            .setup(move |_, _, _| Box::pin(async move { Ok(face) }))
            .build()
    }
}

async fn on_event(
    framework: poise::FrameworkContext<'_, Face, FaceError>,
    event: &FullEvent,
) -> Result<(), FaceError> {
    let FullEvent::InteractionCreate { interaction } = event else { return Ok(()) };
    let http = framework.serenity_context.http.clone();
    match interaction {
        Interaction::Component(i) => press::press(framework.user_data, http, i).await,
        Interaction::Modal(i) => form::submit(framework.user_data, http, i).await,
        _ => {}
    }
    Ok(())
}

/// Every variant ends in something readable for whoever is waiting, and in one line of the log.
async fn on_error(error: FrameworkError<'_, Face, FaceError>) {
    let (what, card): (&'static str, Card) = match &error {
        FrameworkError::Setup { error, .. } => {
            tracing::error!(%error, "the face could not be set up");
            return;
        }
        FrameworkError::EventHandler { error, .. } => {
            tracing::error!(%error, "an event could not be handled");
            return;
        }
        FrameworkError::DynamicPrefix { .. }
        | FrameworkError::UnknownCommand { .. }
        | FrameworkError::NonCommandMessage { .. } => {
            // Only for commands typed as messages, which gantry neither has nor sees.
            return;
        }
        FrameworkError::Command { error, ctx, .. } => {
            ("command", card::fault(&error.fault(&reference(*ctx))))
        }
        FrameworkError::CommandPanic { payload, ctx, .. } => {
            tracing::error!(payload, "a command panicked");
            let name = command_name(*ctx);
            (
                "panic",
                card::fault(&Fault::of_us(&format!("Could not finish {name}"), &reference(*ctx))),
            )
        }
        FrameworkError::SubcommandRequired { ctx } => {
            let name = command_name(*ctx);
            (
                "no subcommand",
                bad(
                    "✗ Which command?",
                    &format!("{name} needs a word after it. `/help` shows them"),
                ),
            )
        }
        FrameworkError::ArgumentParse { error, input, .. } => {
            let input = input.clone().unwrap_or_default();
            ("argument", bad("✗ Cannot read that", &format!("{input}: {error}. Nothing was done")))
        }
        FrameworkError::CommandStructureMismatch { description, .. } => {
            tracing::error!(
                description,
                "Discord has other definitions of a command than this gantry"
            );
            ("definitions", stale())
        }
        FrameworkError::UnknownInteraction { .. } => ("unknown command", stale()),
        FrameworkError::CooldownHit { remaining_cooldown, .. } => (
            "cooldown",
            bad(
                "✗ Too fast",
                &format!("Wait {} s and try again", remaining_cooldown.as_secs() + 1),
            ),
        ),
        FrameworkError::MissingBotPermissions { missing_permissions, .. } => (
            "bot permissions",
            bad(
                "✗ gantry may not do that here",
                &format!("It lacks {missing_permissions} in this channel. Nothing was done"),
            ),
        ),
        FrameworkError::MissingUserPermissions { .. }
        | FrameworkError::PermissionFetchFailed { .. }
        | FrameworkError::NotAnOwner { .. } => (
            "user permissions",
            card::refusal(Verb::Help, "", "Discord says you lack the permission for this command"),
        ),
        FrameworkError::GuildOnly { .. } => ("direct message", only_in_servers()),
        FrameworkError::DmOnly { .. } => {
            ("server", bad("✗ Not here", "This works in direct messages only"))
        }
        FrameworkError::NsfwOnly { .. } => {
            ("channel", bad("✗ Not here", "This does not work in this channel"))
        }
        FrameworkError::CommandCheckFailed { error, .. } => {
            let why =
                error.as_ref().map_or_else(|| "A check said no".to_owned(), ToString::to_string);
            ("check", bad("✗ Not allowed", &format!("{why}. Nothing was done")))
        }
        _ => {
            tracing::error!("poise failed in a way this gantry does not know");
            return;
        }
    };
    let Some(desk) = desk_of(&error) else { return };
    tracing::warn!(what, reference = desk.reference(), "a command could not be served");
    // Whether it was acknowledged before is not known here; one of the two ways is right.
    if desk.answer(&card).await.is_err()
        && let Err(second) = desk.edit(&card).await
    {
        tracing::warn!(error = words_of(&second), "and the asker could not be told");
    }
}

fn bad(title: &'static str, body: &str) -> Card {
    card::note(Tone::Bad, title, body)
}

fn stale() -> Card {
    bad(
        "✗ Discord has an old form of this command",
        "gantry was updated meanwhile. Nothing was done. Reload Discord (Ctrl+R) and try again; if it stays so, whoever runs gantry registers the commands anew",
    )
}

fn command_name(ctx: poise::Context<'_, Face, FaceError>) -> String {
    format!("/{}", ctx.command().qualified_name)
}

fn reference(ctx: poise::Context<'_, Face, FaceError>) -> String {
    match ctx {
        poise::Context::Application(ctx) => format!("ix_{}", ctx.interaction.id),
        poise::Context::Prefix(_) => "ix_0".to_owned(),
    }
}

fn desk_of(error: &FrameworkError<'_, Face, FaceError>) -> Option<Desk> {
    let (face, interaction) = match error {
        FrameworkError::UnknownInteraction { interaction, framework, .. } => {
            (framework.user_data, *interaction)
        }
        other => match other.ctx()? {
            // Autocompletion cannot show a message.
            poise::Context::Application(ctx)
                if ctx.interaction_type == poise::CommandInteractionType::Autocomplete =>
            {
                return None;
            }
            poise::Context::Application(ctx) => (ctx.framework.user_data, ctx.interaction),
            poise::Context::Prefix(_) => return None,
        },
    };
    let http = error.serenity_context().http.clone();
    Some(Desk::new(face, http, interaction.application_id, interaction.id, &interaction.token))
}
