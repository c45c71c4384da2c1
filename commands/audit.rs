//! `/audit …`: who asked for what, and what came of it.

use gantry_core::id::UserId;

use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{said, serve};

/// The audit log
#[poise::command(slash_command, guild_only, subcommands("list"), subcommand_required)]
pub async fn audit(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Who asked for what, and what came of it
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only what this person did"] user: Option<serenity::all::User>,
    #[description = "Only about this operation: op_…"]
    #[max_length = 100]
    op: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let operation = op
            .map(|op| {
                op.trim().parse().map_err(|error: gantry_core::id::BadId| {
                    said(
                        "No such operation",
                        &format!("{error}"),
                        "`/op list` offers them to pick from.",
                        &visit.reference(),
                    )
                })
            })
            .transpose()?;
        let user = user.map(|u| UserId(u.id.get()));
        show::open(&visit, View::Audit { operation, user, page: 0 }).await
    })
    .await
}
