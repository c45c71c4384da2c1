//! `/help` and `/whoami`: what the asker may do, and why.

use gantry_core::action::Verb;
use gantry_core::policy::{Ruling, Target};

use crate::card::{self, HelpEntry, PAGES};
use crate::face::{Context, FaceError};
use crate::visit::serve;

/// What you may do here, with examples
#[poise::command(slash_command, guild_only)]
pub async fn help(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let open: Vec<HelpEntry> =
            PAGES.iter().filter(|p| visit.may(p.verb, Target::Any).is_allowed()).copied().collect();
        visit.say(&card::help_page(&open, PAGES.len() - open.len())).await
    })
    .await
}

/// Who gantry takes you for, and what you may do here
#[poise::command(slash_command, guild_only)]
pub async fn whoami(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        // What gantry does by itself to keep a set up is nobody's to ask for.
        for verb in Verb::ALL.iter().filter(|v| **v != Verb::SetMember) {
            match visit.may(*verb, Target::Any) {
                Ruling::Allowed { rule, .. } => allowed.push((*verb, rule)),
                Ruling::Denied { because } => denied.push((*verb, because)),
            }
        }
        visit.say(&card::whoami(&visit.actor, &allowed, &denied)).await
    })
    .await
}
