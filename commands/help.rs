//! `/help` and `/whoami`: what the asker may do, and why.

use gantry_core::policy::{Ruling, Target};

use crate::card::{self, Card, HelpEntry, PAGES};
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::token::ScreenId;
use crate::visit::{Visit, serve};

/// What you may do here, with examples
#[poise::command(slash_command, guild_only)]
pub async fn help(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| show::open(&visit, View::Help { noun: None }).await).await
}

/// The page: of one noun's commands, or of those used most. From memory alone.
pub(crate) fn draw(visit: &Visit, noun: Option<&str>, id: &ScreenId) -> Card {
    let open: Vec<HelpEntry> =
        PAGES.iter().filter(|p| visit.may(p.verb, Target::Any).is_allowed()).copied().collect();
    card::help_page(&open, PAGES.len() - open.len(), noun, id)
}

/// Who gantry takes you for, and what you may do here
#[poise::command(slash_command, guild_only)]
pub async fn whoami(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        for verb in card::asked_for() {
            match visit.may(verb, Target::Any) {
                Ruling::Allowed { rule, .. } => allowed.push((verb, rule)),
                Ruling::Denied { because } => denied.push((verb, because)),
            }
        }
        let policy = visit.face.engine().policy();
        let rules: Vec<_> = policy.here(&visit.actor).collect();
        visit.say(&card::whoami(&visit.actor, &allowed, &denied, &rules)).await
    })
    .await
}
